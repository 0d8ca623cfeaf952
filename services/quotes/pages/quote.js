// Keeps the page of a quote up to date without a reload. The server says that something has changed; the page is then
// fetched again and its live parts are swapped. Without this script the page is complete, and has to be reloaded.
"use strict";
(() => {
  const quote = document.getElementById("quote");
  if (!quote) return;

  const POLL = 20_000; // while there is no stream
  const WAIT = 15_000; // while the reader waits for his payment's confirmation
  const RETRY = 60_000; // until a stream is tried again that the server refused
  let stream = null;
  let streaming = false;
  let told = ""; // the last state that the stream has told of
  let looked = Date.now();
  let busy = false;
  let timer = 0;
  let hurry = 0;

  // swap puts what the fresh page says in place, without losing the reader's focus.
  function swap(page) {
    document.title = page.title;
    const fresh = page.getElementById("quote");
    if (!fresh) { // not offered any more
      stop();
      const main = document.getElementById("main");
      main.replaceChildren(...page.getElementById("main").childNodes);
      main.focus({ preventScroll: true });
      return;
    }
    let lost = false;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!other || other.innerHTML === part.innerHTML) continue;
      lost = lost || part.contains(document.activeElement);
      part.replaceChildren(...other.childNodes);
    }
    if (lost) quote.querySelector('[data-live="status"]').focus({ preventScroll: true });
    quote.dataset.seen = fresh.dataset.seen;
    quote.toggleAttribute("data-waiting", fresh.hasAttribute("data-waiting"));
    if (!fresh.dataset.events) stop();
  }

  async function look() {
    if (busy) return;
    busy = true;
    looked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.ok || answer.status === 410) {
        swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch {
      // The line is down; the next look will tell.
    } finally {
      busy = false;
    }
    plan();
  }

  // plan sets the time of the next look: soon when the page is behind what the stream has told, not at all while a stream
  // runs and nobody waits.
  function plan() {
    clearTimeout(timer);
    if (!quote.isConnected || !quote.dataset.events) return;
    let delay = streaming ? 0 : POLL;
    if (quote.hasAttribute("data-waiting")) delay = WAIT;
    if (told && told !== quote.dataset.seen && hurry < 5) {
      hurry += 1;
      delay = 1_000 * hurry;
    }
    if (delay) timer = setTimeout(look, delay + Math.random() * delay / 4);
  }

  function start() {
    if (stream || !quote.dataset.events || !("EventSource" in window)) return plan();
    stream = new EventSource(`${quote.dataset.events}?seen=${encodeURIComponent(quote.dataset.seen)}`);
    stream.addEventListener("open", () => { streaming = true; plan(); });
    stream.addEventListener("change", (event) => { told = event.data; hurry = 0; look(); });
    stream.addEventListener("error", () => {
      streaming = false;
      if (stream && stream.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(start, RETRY + Math.random() * RETRY);
      }
      plan();
    });
    plan();
  }

  function pause() {
    clearTimeout(timer);
    if (stream) stream.close();
    stream = null;
    streaming = false;
  }

  function stop() {
    pause();
    delete quote.dataset.events;
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && quote.dataset.events && Date.now() - looked > 10_000) look();
  });
  window.addEventListener("pagehide", pause);
  window.addEventListener("pageshow", (event) => { if (event.persisted) { look(); start(); } });
  start();
})();
