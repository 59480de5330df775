// Draws one picture once 3Dmol.js is there; while that is being loaded, only the last picture that was sent waits.
window.cnb_UNIQUEID = NUMBER;
(function go(tries) {
  if (window.cnb_UNIQUEID != NUMBER) return;
  if (typeof viewergrid_UNIQUEID === "undefined" || !viewergrid_UNIQUEID) {
    if (tries) setTimeout(() => go(tries - 1), 100);
    return;
  }
  DRAWING
  viewergrid_UNIQUEID.forEach(row => row.forEach(view => view.render()));
})(150)
