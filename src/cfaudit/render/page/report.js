"use strict";

const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem("cfaudit-theme");
  } catch {
    return null; // a page from a file may have no storage: the choice lasts as long as the page
  }
}

function choose(name) {
  root.dataset.theme = name;
  try {
    localStorage.setItem("cfaudit-theme", name);
  } catch {
    // as above
  }
}

function chosen(form, name) {
  return [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
}

function filter(form, box) {
  const section = form.closest(".findings");
  const severities = chosen(form, "severity");
  const verdicts = chosen(form, "verdict");
  const category = form.elements.category.value;
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rules = box?.dataset.gaps.split(" ");
  let shown = 0;
  const all = [...section.querySelectorAll(".finding")];
  for (const one of all) {
    one.words ??= one.textContent.toLowerCase();
    one.hidden = !(
      (!severities.length || severities.includes(one.dataset.severity)) &&
      (!verdicts.length || verdicts.includes(one.dataset.verdict)) &&
      (!category || category === one.dataset.category) &&
      (!rules || rules.includes(one.dataset.rule)) &&
      words.every((word) => one.words.includes(word))
    );
    shown += one.hidden ? 0 : 1;
  }
  for (const block of section.querySelectorAll(".block")) {
    block.hidden = !block.querySelector(".finding:not([hidden])");
  }
  const why = box ? `: those that fail on ${box.querySelector("title").textContent.split(":")[0]}` : "";
  form.querySelector("output").textContent = `${shown} of ${all.length} rules shown${why}`;
}

function wire(form) {
  const section = form.closest(".findings");
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => filter(form)));
  form.addEventListener("click", (event) => {
    const wanted = event.target.dataset.all;
    for (const one of wanted ? section.querySelectorAll(".finding:not([hidden])") : []) one.open = wanted === "open";
  });
  filter(form);
}

function find(event) {
  const box = event.target.closest("a.box[data-gaps]");
  const form = box?.closest(".report").querySelector(".filters");
  if (!form || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  form.reset();
  setTimeout(() => {
    filter(form, box);
    form.closest(".findings").scrollIntoView();
    form.closest(".findings").querySelector(".finding:not([hidden]) summary")?.focus({ preventScroll: true });
  });
}

function light(event) {
  const box = event.target.closest?.("a.box");
  for (const graph of document.querySelectorAll(".graph svg")) {
    const here = box && graph.contains(box);
    graph.classList.toggle("lit", Boolean(here));
    for (const part of here ? graph.querySelectorAll("[data-from]") : []) {
      part.classList.toggle("on", [part.dataset.from, part.dataset.to].includes(box.dataset.id));
    }
  }
}

function reveal() {
  let id = location.hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // not an encoded name: taken as it is
  }
  const target = document.getElementById(id);
  if (target?.matches(".finding")) {
    const form = target.closest(".findings").querySelector(".filters");
    if (target.hidden) {
      form.reset();
      filter(form);
    }
    target.open = true;
    target.scrollIntoView();
  }
}

function unfold() {
  for (const one of document.querySelectorAll("details:not([open])")) {
    one.open = true;
    one.dataset.folded = "";
  }
}

function fold() {
  for (const one of document.querySelectorAll("details[data-folded]")) {
    one.open = false;
    delete one.dataset.folded;
  }
}

root.dataset.theme = THEMES.includes(stored()) ? stored() : "auto";

document.addEventListener("DOMContentLoaded", () => {
  for (const control of document.querySelectorAll(".control")) control.hidden = false;
  for (const one of document.querySelectorAll("details")) {
    one.open = "keep" in one.dataset || one.dataset.severity === "critical";
  }
  document.querySelectorAll(".filters").forEach(wire);
  const button = document.querySelector("button.theme");
  const say = () => (button.querySelector("span").textContent = root.dataset.theme);
  button.addEventListener("click", () => {
    choose(THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length]);
    say();
  });
  say();
  document.addEventListener("click", find);
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, light);
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", unfold);
  addEventListener("afterprint", fold);
  reveal();
});
