// Improves the console's pages: keys, and updates without loading the page. Everything works without it.
"use strict";
(() => {
  const typing = (e) => e.target instanceof Element && e.target.closest("input, textarea, select, [contenteditable]") !== null;

  // j and k go from row to row, by the link of each.
  const rows = () => [...document.querySelectorAll("[data-row]")].map((r) => r.querySelector("a") || r);
  const go = (step) => {
    const all = rows();
    if (all.length === 0) return;
    const row = document.activeElement && document.activeElement.closest("[data-row]");
    const at = row ? all.findIndex((a) => row.contains(a)) : -1;
    const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (typing(e)) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    const link = document.querySelector(`[data-key="${CSS.escape(e.key)}"]`);
    if (e.key === "/") {
      const box = document.getElementById("search");
      if (!box) return;
      box.focus();
      box.select();
    } else if (e.key === "j" || e.key === "k") {
      go(e.key === "j" ? 1 : -1);
    } else if (link) {
      link.click();
    } else {
      return;
    }
    e.preventDefault();
  });

  // Live pages take the parts that are marked from a fresh copy of the page, and leave alone a part that somebody works in.
  const every = Number(document.body.dataset.live);
  if (!every) return;
  const update = async () => {
    if (document.hidden) return true;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected || answer.status === 401) {
      location.reload();
      return false;
    }
    if (!answer.ok) return true;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = fresh.getElementById(part.id);
      if (!other || part.querySelector("details[open]")) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      part.replaceChildren(...other.childNodes);
      if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    }
    return Boolean(Number(fresh.body.dataset.live));
  };
  const loop = async () => {
    let more = true;
    try {
      more = await update();
    } catch {
      // The network is away: the next round tries again.
    }
    if (more) setTimeout(loop, every * 1000);
    else document.querySelector(".pulse")?.remove();
  };
  setTimeout(loop, every * 1000);
})();
