// A plain page's side: every figure carries its faces as text in itself.

function unpack(figure) {
  const packet = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const camera = packet.linked ? new Camera() : null;
  const row = figure.querySelector(".v2m-row");
  row.replaceChildren();
  for (const face of packet.faces) {
    const own = { ...face };
    for (const [name, key] of Object.entries(face.shared)) own[name] = packet.shared[key];
    const mesh = new Mesh({ ...packet.anatomy, ...own });
    const scalars = face.scalars && { ...face.scalars, values: typed(face.scalars.values, Float32Array) };
    const cell = make("div", { class: "v2m-cell" });
    row.append(cell);
    panel(cell, mesh, {
      title: face.title, caption: face.caption, height: packet.height, camera, preset: packet.camera,
      theme: packet.theme, tools: packet.tools, settings: { scalars },
    });
  }
}

for (const figure of document.querySelectorAll("figure.v2m-figure:not([data-open])")) {
  figure.dataset.open = "";
  unpack(figure);
}
