// Scripted extras: a page can be read without them.
const root = document.documentElement, base = root.dataset.base;
const $ = (query) => document.querySelector(query), all = (query) => document.querySelectorAll(query);

// Light or dark: the system's choice until the reader makes one.
const theme = $(".theme"), system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
const tell = () => theme.setAttribute("aria-pressed", dark());
theme.hidden = false;
theme.onclick = () => {
  root.dataset.theme = dark() ? "light" : "dark";
  try { localStorage.theme = root.dataset.theme; } catch {}
  tell();
};
system.onchange = tell;
addEventListener("pageshow", tell);
tell();

// A link to a fold unfolds it.
function unfold() {
  let id = location.hash.slice(1);
  try { id = decodeURIComponent(id); } catch {}
  const target = document.getElementById(id);
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target?.scrollIntoView();
}
addEventListener("hashchange", unfold);
$(".menu").onclick = (event) => { if (event.target.closest("a")) event.currentTarget.open = false; };
unfold();

// All of a page's code at once.
const folds = [...all(".cell > .fold")];
const fold = $(".fold-all");
if (fold && folds.length > 1) {
  fold.hidden = false;
  fold.onclick = () => {
    const open = !folds.some((cell) => cell.open);
    folds.forEach((cell) => (cell.open = open));
    fold.textContent = open ? "Hide all code" : "Show all code";
  };
}

// Copying: a section's address, a listing.
async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); } catch { return; }
  const was = (button.dataset.was ??= button.textContent);
  button.textContent = "copied";
  setTimeout(() => (button.textContent = was), 1200);
}
all("a.anchor").forEach((link) => link.addEventListener("click", () => copy(link.href, link)));
all("pre.code").forEach((pre) => {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "copy";
  const code = pre.querySelector("code").cloneNode(true);
  code.querySelectorAll(".linenos").forEach((number) => number.remove());
  button.onclick = () => copy(code.textContent, button);
  pre.append(button);
});

// The outline follows the reader.
const entries = new Map([...all(".outline .headings a")].map((a) => [a.hash.slice(1), a]));
const watch = new IntersectionObserver((seen) => {
  const top = seen.find((entry) => entry.isIntersecting);
  if (!top) return;
  entries.forEach((a, id) => a.classList.toggle("now", id === top.target.id));
}, { rootMargin: "-60px 0px -70% 0px" });
entries.forEach((_, id) => watch.observe(document.getElementById(id)));

// Search: every word must occur; headings first.
const box = $("search"), input = $("search input"), list = $("#results"), found = $("#found");
let index;
box.hidden = false;
async function search() {
  const asked = input.value, words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  list.hidden = !words.length;
  if (!words.length) return;
  index ??= fetch(base + "/myst.search.json").then((answer) => answer.json());
  let records;
  try { ({ records } = await index); } catch {
    index = undefined;
    list.innerHTML = "<p>The index cannot be reached.</p>";
    return;
  }
  if (asked !== input.value) return;
  const rank = (record) => (record.type === "content" ? 9 : +record.type[3]);
  const hits = records.filter((record) => {
    const text = (Object.values(record.hierarchy).join(" ") + " " + (record.content ?? "")).toLowerCase();
    return words.every((word) => text.includes(word));
  }).sort((a, b) => rank(a) - rank(b));
  const urls = new Set(), firsts = hits.filter(({ url }) => !urls.has(url) && urls.add(url));
  const shown = firsts.slice(0, 12);
  list.replaceChildren(...shown.map((record) => {
    const link = document.createElement("a"), title = document.createElement("b");
    link.href = base + record.url.replace(/^([^#]*[^#/])(#|$)/, "$1/$2");
    title.textContent = Object.entries(record.hierarchy).sort().map((e) => e[1]).join(" › ");
    const text = records.find((r) => r.url === record.url && r.content)?.content ?? "";
    const at = text.lastIndexOf(" ", text.toLowerCase().indexOf(words[0]) - 30) + 1;
    link.append(title, (at ? "… " : "") + text.slice(at).replace(/^(.{120}\S*).+/s, "$1 …"));
    return link;
  }));
  found.textContent = `${firsts.length} found` + (firsts[12] ? ", the first 12 listed" : "");
  if (!shown.length) list.innerHTML = "<p>Nothing found.</p>";
}
input.oninput = search;
addEventListener("keydown", (event) => {
  if (event.key === "k" && (event.ctrlKey || event.metaKey)) event.preventDefault(), input.focus();
  if (event.key === "Escape" && !list.hidden) list.hidden = true, input.focus();
});
addEventListener("click", (event) => { if (!box.contains(event.target) || event.target.closest("a")) list.hidden = true; });
