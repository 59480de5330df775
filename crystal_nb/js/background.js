// Views take the page's own colour, and take it again when its theme changes: a surface that lets light through needs an opaque background.
window.viewergrid_UNIQUEID = viewergrid_UNIQUEID;  // py3Dmol keeps the grid to itself
(() => {
  const place = document.getElementById("3dmolviewer_UNIQUEID");
  const clear = color => !color || color == "transparent" || / 0\)$/.test(color);
  const paint = () => {
    let element = place, color = "";
    while (element && clear(color = getComputedStyle(element).backgroundColor)) element = element.parentElement;
    const [r, g, b] = element ? color.match(/[0-9.]+/g).map(Number) : [255, 255, 255];
    viewergrid_UNIQUEID.forEach(row => row.forEach(view => {
      view.setBackgroundColor(65536*r + 256*g + b, 1);
      view.render();
    }));
  };
  paint();
  new MutationObserver(() => setTimeout(paint, 300)).observe(document.body, {attributes: true});
})();
