// A plain page's side: every figure carries its faces as text in itself; what several figures
// have in common stands in the first of them.

const common = {};

function unpack(figure) {
  const packet = JSON.parse(figure.querySelector("script.v2m-packet").textContent);
  const anatomy = JSON.parse(atob(common[packet.anatomy]));
  const camera = packet.linked ? new Camera() : null;
  const row = figure.querySelector(".v2m-row");
  row.replaceChildren();
  for (const face of packet.faces) {
    const own = { ...face };
    for (const [name, key] of Object.entries(face.shared)) own[name] = common[key];
    const mesh = new Mesh({ ...anatomy, ...own });
    const scalars = face.scalars && { ...face.scalars, values: typed(face.scalars.values, Float32Array) };
    const cell = make("div", { class: "v2m-cell" });
    row.append(cell);
    panel(cell, mesh, {
      title: face.title, caption: face.caption, height: packet.height, camera, preset: packet.camera,
      theme: packet.theme, tools: packet.tools, settings: { scalars },
    });
  }
}

const closed = [...document.querySelectorAll("figure.v2m-figure:not([data-open])")];
for (const shared of document.querySelectorAll("script.v2m-shared")) {
  Object.assign(common, JSON.parse(shared.textContent));
}
// A page may hold hundreds of figures: each is opened when the reader comes near.
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting || "open" in entry.target.dataset) continue;
    entry.target.dataset.open = "";
    watch.unobserve(entry.target);
    unpack(entry.target);
  }
}, { rootMargin: "900px 0px" });
for (const figure of closed) watch.observe(figure);
