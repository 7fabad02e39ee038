"use strict";
// Conveniences only: without this script everything is still on the page.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  for (const button of all(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const code = button.parentElement.querySelector("code");
      const done = (word) => { button.textContent = word; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
      const select = () => { getSelection().selectAllChildren(code); done("Selected"); };
      if (!navigator.clipboard) { select(); return; }
      navigator.clipboard.writeText(code.textContent).then(() => done("Copied"), select);
    });
  }

  const filters = document.querySelector(".filters");
  filters.hidden = false;
  filters.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of all("button", filters)) button.setAttribute("aria-pressed", String(button === chosen));
    const css = chosen.dataset.show;
    for (const diagram of all("details.diagram")) {
      let shown = 0;
      for (const row of all("tbody > tr", diagram)) {
        row.hidden = css !== "" && !row.classList.contains(css);
        shown += row.hidden ? 0 : 1;
      }
      diagram.hidden = shown === 0;
      if (css !== "") diagram.open = true;
      for (const box of all(".outside", diagram)) box.hidden = !box.querySelector("tbody > tr:not([hidden])");
    }
  });

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const wasHidden = target.hidden || target.closest("[hidden]");
    if (wasHidden) filters.querySelector("button").click();
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])").filter((box) => !box.closest(".grounds"));
    for (const box of opened) box.open = true;
  });
  addEventListener("afterprint", () => { for (const box of opened) box.open = false; });
})();
