// What the seller's pages do better with a script; without it they are complete.
"use strict";
(() => {
  // After a refused form the reader begins at the list of what is wrong.
  const summary = document.getElementById("summary");
  if (summary) summary.focus();

  // A new row begins at its name.
  const begin = document.querySelector("form[data-focus]");
  const first = begin && document.getElementById(begin.dataset.focus);
  if (first && !summary) first.focus();

  // The reader's own time zone is the likely one of a new quote.
  const zone = document.getElementById("f-owner-time_zone");
  if (zone && !zone.value && !summary) {
    try {
      zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
    } catch {
      // Then it is typed.
    }
  }

  // The link can be copied where the browser lets us. The page's live parts may be replaced, so the document listens.
  const show = () => {
    for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
  };
  show();
  new MutationObserver(show).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const link = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(link.value);
      const before = button.textContent;
      button.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = before; }, 2000);
    } catch {
      link.select();
    }
  });
})();
