// What the pages need to work from a folder on disk and from the keyboard; loaded before smalldocs.js.
(() => {
  "use strict";
  const here = document.currentScript.src.replace(/[^/]*$/, "");  // site_libs/
  // A page opened from disk may not fetch its search index; it may load it as a script.
  if (location.protocol === "file:") {
    const fetched = window.fetch;
    window.fetch = (url, ...rest) => !/(^|\/)search\.json$/.test(String(url)) ? fetched(url, ...rest) : new Promise((done, failed) => {
      const s = document.createElement("script");
      s.src = here + "search.js";
      s.onload = () => done({ ok: true, json: async () => window.searchIndex });
      s.onerror = failed;
      document.head.appendChild(s);
    });
  }
  document.addEventListener("DOMContentLoaded", () => {
    // What scrolls inside its box can be reached, and so scrolled, with the keyboard.
    const wide = [...document.querySelectorAll("main pre, main .cell-output, main .sd-table")].filter((e) => e.scrollWidth > e.clientWidth + 1);  // all read before any is changed
    wide.forEach((e) => { e.tabIndex = 0; e.setAttribute("role", "group"); e.setAttribute("aria-label", e.matches("pre") ? "code, scrolls sideways" : "output, scrolls sideways"); });
    // The folding sections of the sidebar are links without an address: let Tab, Enter and Space work on them.
    document.querySelectorAll("#quarto-sidebar a[data-bs-toggle]:not([href])").forEach((a) => {
      a.setAttribute("role", "button");
      if (a.matches(".sidebar-item-toggle")) { a.tabIndex = -1; a.setAttribute("aria-hidden", "true"); return; }  // the name beside it does the same
      a.tabIndex = 0;
      a.addEventListener("keydown", (ev) => { if (ev.key === "Enter" || ev.key === " ") { ev.preventDefault(); a.click(); } });
    });
    const now = document.querySelector("#quarto-sidebar .sidebar-link.active");  // a long sidebar opens at the page that is read
    const bar = document.querySelector("#quarto-sidebar");
    if (now && bar && now.offsetTop > bar.clientHeight - 80) bar.scrollTop = now.offsetTop - bar.clientHeight / 2;
  });
})();
