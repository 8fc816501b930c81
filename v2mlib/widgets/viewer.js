// A small viewer for faces. Units are mm; x to the subject's left, y up, z out of the face.
// gpu.js draws them, or raster.js where there is no graphics card.
// The parts of the viewer are joined into one module by bundle.py, so they import nothing.

const SKIN = [204, 163, 140];
const LINEAR = Uint16Array.from({ length: 256 }, (_, byte) => 65535 * (byte / 255) ** 2.2);
const HIGHLIGHT = [0, 114, 178], FADED = [190, 190, 190];
const THEMES = {
  light: { clear: [0.925, 0.937, 0.953], ink: "#1b2230", halo: "rgba(255,255,255,0.85)" },
  dark: { clear: [0.125, 0.141, 0.169], ink: "#eef1f6", halo: "rgba(20,23,28,0.85)" },
};

const SETTLE_MS = 180;
const SLOW_MS = 30, QUICK_MS = 20;  // for one picture of a motion

/**
 * One face on one canvas. Set `settings` and `mesh`, then call `recolour` or `redraw`.
 * `other` is a second face that `settings.split` shares the picture with: 0 shows the first alone.
 *
 * A face in motion is drawn as coarsely as needed for 30 pictures a second, a face at rest in
 * full. Without a graphics card `raster.js` draws the motion, and what rests too if WebGL fails.
 */
class View {
  constructor(canvas, mesh, camera = new Camera(), settings = {}) {
    Object.assign(this, { canvas, mesh, camera, other: null });
    this.settings = {
      theme: "light", wireframe: false, landmarks: false, lines: [], region: "", scalars: null, split: 0, ...settings,
    };
    this.gpu = sharedGpu();
    this.gpu.views.add(this);
    camera.include(mesh.bounds());
    camera.views.add(this);
    this.skins = new Map();
    this.redraws = 0;
    this.coarseness = 1;
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(canvas);
    camera.changed();
  }

  recolour() { for (const skin of this.skins.values()) skin.colours = null; this.redraw(); }

  /** The browser gave the lost WebGL context back, empty. */
  restored() { for (const skin of this.skins.values()) skin.buffers = null; this.redraw(); }

  redraw() {
    clearTimeout(this.rest);
    this.canvas.dataset.drawn = "soon";
    this.request ??= requestAnimationFrame((now) => { this.request = null; this.step(now); });
  }

  /** One picture of a motion; the last is followed by a fine one. */
  step(now) {
    const begun = performance.now(), follows = this.busy && now - this.last < 15 * SETTLE_MS;
    this.busy = true;
    this.draw(1 / this.coarseness);
    // A card draws while the page goes on: what it takes shows in the time between two pictures.
    const spent = this.gpu.software ? performance.now() - begun : now - this.last;
    this.last = now;
    if (follows && spent > SLOW_MS) this.coarseness = Math.min(2, this.coarseness + 0.25);
    else if (follows && spent < QUICK_MS) this.coarseness = Math.max(1, this.coarseness - 0.05);
    this.rest = setTimeout(() => this.finish(), SETTLE_MS);
  }

  /** The picture as good as it gets. */
  finish() {
    clearTimeout(this.rest);
    this.busy = false;
    this.draw(this.gpu.software || !this.gpu.ready ? 2 : 1);
    if (this.canvas.width !== 300) this.canvas.dataset.drawn = "fine";
  }

  close() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.rest);
    this.observer.disconnect();
    this.camera.views.delete(this);
    this.gpu.views.delete(this);
    for (const skin of this.skins.values()) this.gpu.free(skin);
  }

  /** What is drawn of a face: its shape, and its colours as they stand. */
  skin(mesh) {
    if (!this.skins.has(mesh)) this.skins.set(mesh, { mesh, colours: null, buffers: null });
    const skin = this.skins.get(mesh);
    if (!skin.colours || (this.settings.scalars?.live && skin.moves !== mesh.moves)) {
      Object.assign(skin, { colours: this.vertexColours(mesh), moves: mesh.moves });
    }
    return skin;
  }

  vertexColours(mesh) {
    const { scalars, region } = this.settings;
    // A region is tinted; where colours are numbers, everything else is faded instead.
    const tint = scalars ? FADED : HIGHLIGHT, chosen = mesh.regions[region] || [];
    const out = new Uint16Array(4 * mesh.count);
    const keep = new Uint8Array(mesh.count).fill(scalars && chosen.length ? 0 : 1);
    for (const v of chosen) keep[v] = scalars ? 1 : 0;
    const values = scalars && (scalars.live ? mesh.displacement() : mesh.values || scalars.values);
    const table = values ? paletteOf(scalars) : mesh.colours || SKIN;
    const each = values ? 0 : mesh.colours ? 3 : 0;
    const factor = values ? (PALETTE - 1) / (scalars.high - scalars.low || 1) : 0;
    for (let v = 0; v < mesh.count; v++) {
      let from = each * v;
      if (values) {
        const number = (values[v] - scalars.low) * factor;
        from = number === number ? 3 * Math.max(0, Math.min(PALETTE - 1, Math.round(number))) : 3 * PALETTE;
      }
      for (let k = 0; k < 3; k++) {
        const byte = table[from + k];
        out[4 * v + k] = LINEAR[keep[v] ? byte : Math.round(0.45 * byte + 0.55 * tint[k])];
      }
      out[4 * v + 3] = mesh.sky ? 257 * mesh.sky[v] : 65535;
    }
    return out;
  }

  /** Draw now, `fineness` times as many pixels along each side as the picture has. */
  draw(fineness = 1) {
    const { canvas, gpu, camera, settings } = this;
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    this.prepare?.(!this.busy);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const part = Math.min(fineness, 2600 / Math.max(width, height));
    const size = { width: Math.round(width * part), height: Math.round(height * part) };
    const field = camera.field(width / height);
    const theme = THEMES[settings.theme] || THEMES.light;
    const brush = (gpu.software && this.busy) || !gpu.ready ? sharedRaster() : gpu;
    brush.begin({
      ...size, camera, field, clear: theme.clear, plain: Boolean(settings.scalars), wireframe: settings.wireframe,
    });
    const cut = Math.round(size.width * (this.other ? 1 - settings.split : 1));
    if (cut > 0) brush.face(this.skin(this.mesh), 0, cut);
    if (cut < size.width) brush.face(this.skin(this.other), cut, size.width);
    const paper = canvas.getContext("2d");
    paper.imageSmoothingQuality = part > 1 ? "high" : "low";  // in motion "high" would take 20 ms
    brush.show(paper, width, height);
    annotate(paper, this, { ratio, width, height, field, theme });
    if (this.other && settings.split > 0 && settings.split < 1) {
      paper.fillStyle = theme.ink;
      paper.fillRect(Math.round(width * (1 - settings.split)) - ratio, 0, 2 * ratio, height);
    }
    this.redraws += 1;
  }
}
