// Where the viewer stands, and how mouse, touch and keys move it.

const PRESETS = { front: 0, three_quarter: 38, profile: 90 };

/** Where the viewer stands; views that share a camera turn together. */
class Camera {
  constructor() {
    this.views = new Set();
    this.low = [Infinity, Infinity, Infinity];
    this.high = [-Infinity, -Infinity, -Infinity];
    this.distance = 1200;
    this.reset();
  }

  reset() { Object.assign(this, { yaw: 0, pitch: 0, zoom: 1, pan: [0, 0, 0] }); this.changed(); }

  look(preset) { this.yaw = PRESETS[preset] ?? 0; this.pitch = 0; this.changed(); }

  include({ low, high }) {
    this.low = this.low.map((value, k) => Math.min(value, low[k]));
    this.high = this.high.map((value, k) => Math.max(value, high[k]));
  }

  axes() {
    const yaw = this.yaw * Math.PI / 180, pitch = this.pitch * Math.PI / 180;
    const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    return { right: [cy, 0, -sy], up: [-sy * sp, cp, -cy * sp], back: [sy * cp, sp, cy * cp] };
  }

  target() { return this.low.map((value, k) => (value + this.high[k]) / 2 + this.pan[k]); }

  /** Height of the picture at the target, mm: no turn about the vertical cuts the face off. */
  field(aspect) {
    const [x, y, z] = this.high.map((value, k) => value - this.low[k]);
    return 1.1 * Math.max(y, Math.max(x, z) / aspect) / this.zoom;
  }

  orbit(yaw, pitch) {
    this.yaw = ((this.yaw + yaw + 540) % 360) - 180;
    this.pitch = Math.max(-89, Math.min(89, this.pitch + pitch));
    this.changed();
  }

  scale(factor) { this.zoom = Math.max(0.3, Math.min(12, this.zoom * factor)); this.changed(); }

  shift(rightMm, upMm) {
    const { right, up } = this.axes();
    this.pan = this.pan.map((value, k) => value - rightMm * right[k] - upMm * up[k]);
    this.changed();
  }

  changed() { for (const view of this.views) view.redraw(); }
}


/** Let mouse, touch and keys move a camera. Returns a function that lets go again. */
function steer(canvas, view) {
  const { camera } = view;
  const held = new Map();
  const mmPerPixel = () => camera.field(canvas.clientWidth / canvas.clientHeight) / canvas.clientHeight;
  const spread = () => {
    const [a, b] = [...held.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, gap: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  const handlers = {
    pointerdown(event) {
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    },
    pointermove(event) {
      const from = held.get(event.pointerId);
      if (!from) return;
      const before = held.size === 2 && spread();
      const dx = event.clientX - from.x, dy = event.clientY - from.y;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (before) {
        const after = spread();
        camera.scale(after.gap / before.gap);
        camera.shift((after.x - before.x) * mmPerPixel(), (before.y - after.y) * mmPerPixel());
      } else if (event.shiftKey || event.buttons & 2) {
        camera.shift(dx * mmPerPixel(), -dy * mmPerPixel());
      } else {
        camera.orbit(-0.5 * dx, 0.5 * dy);
      }
    },
    pointerup(event) { held.delete(event.pointerId); },
    pointercancel(event) { held.delete(event.pointerId); },
    contextmenu(event) { event.preventDefault(); },
    wheel(event) {
      // Only a face in use takes the wheel; otherwise the page could not be scrolled past it.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      camera.scale(Math.exp(-0.0015 * event.deltaY));
    },
    keydown(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 0 : 6, push = event.shiftKey ? 5 : 0;
      const act = {
        ArrowLeft: () => (push ? camera.shift(-push, 0) : camera.orbit(-step, 0)),
        ArrowRight: () => (push ? camera.shift(push, 0) : camera.orbit(step, 0)),
        ArrowUp: () => (push ? camera.shift(0, push) : camera.orbit(0, step)),
        ArrowDown: () => (push ? camera.shift(0, -push) : camera.orbit(0, -step)),
        "+": () => camera.scale(1.15),
        "=": () => camera.scale(1.15),
        "-": () => camera.scale(1 / 1.15),
        1: () => camera.look("front"),
        2: () => camera.look("three_quarter"),
        3: () => camera.look("profile"),
        0: () => camera.reset(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    },
  };
  for (const [name, handler] of Object.entries(handlers)) {
    canvas.addEventListener(name, handler, { passive: false });
  }
  return () => {
    for (const [name, handler] of Object.entries(handlers)) canvas.removeEventListener(name, handler);
  };
}
