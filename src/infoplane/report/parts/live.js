// Draws the charts of a page. The still pictures stay where this fails.
// On a narrow screen a chart is laid out anew: panels below each other, legends below, as wide as there is room for,
// so that its text keeps its size.
const NARROW = 720;
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

function narrow(view, room, inner) {
  if (Array.isArray(view)) { for (const one of view) narrow(one, room, inner); return; }
  if (view.hconcat) { view.vconcat = view.hconcat; delete view.hconcat; }
  for (const parts of ["vconcat", "concat", "layer"]) if (view[parts]) narrow(view[parts], room, inner || parts === "layer");
  // a text along a line has the angle of a wide chart
  if (view.layer) view.layer = view.layer.filter((one) => !(one.mark && one.mark.type === "text" && one.mark.angle));
  if (view.mark && ["bar", "tick"].includes(view.mark.type) && view.mark.size) view.mark.size *= Math.min(1, room / 800);
  if (view.spec) narrow(view.spec, room, inner);
  if (typeof view.width === "number") view.width = Math.min(view.width, room - 84);
  if (typeof view.height === "number" && view.height > 330) view.height = 330;
  for (const channel of Object.values(view.encoding ?? {})) {
    if (channel && channel.legend) {
      Object.assign(channel.legend, {orient: "bottom", direction: "horizontal", titleLimit: room - 60});
      delete channel.legend.columns;
      if (channel.type === "nominal") channel.legend.columns = room < 420 ? 2 : 3;
      if (channel.legend.gradientLength) channel.legend.gradientLength = Math.min(160, room - 120);
    }
    if (channel && typeof channel.title === "string" && channel.title.length > 34) channel.title = lines(channel.title, 34);
  }
  if (typeof view.title === "string" && view.title.length > 44) view.title = lines(view.title, 44);
}

function lines(text, most) {
  const found = [""];
  for (const word of text.split(" ")) {
    const last = found.length - 1, longer = found[last] ? found[last] + " " + word : word;
    if (longer.length > most && found[last]) found.push(word); else found[last] = longer;
  }
  return found;
}

async function unpacked(id) {
  const packed = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function shrink(view, share) {
  if (Array.isArray(view)) { for (const one of view) shrink(one, share); return; }
  for (const parts of ["vconcat", "hconcat", "concat", "spec"]) if (view[parts]) shrink(view[parts], share);
  if (typeof view.width === "number") view.width = Math.max(60, Math.floor(view.width * share));
  if (view.width && view.width.step) view.width.step *= share;
}

async function draw(holder) {
  const room = holder.parentElement.clientWidth;
  const live = document.createElement("div");
  try {
    let share = 1;
    for (let tries = 0; tries < 4; tries += 1) {
      const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
      spec.background = "transparent";
      if (room < NARROW) {
        spec.padding = 2;
        Object.assign(spec.config.legend, {
          orient: "bottom", direction: "horizontal", columns: 2, layout: {bottom: {direction: "vertical", anchor: "start"}},
        });
        narrow(spec, room, false);
      }
      if (share < 1) shrink(spec, share);
      await vegaEmbed(live, spec, {mode: "vega-lite", renderer: "svg", actions: false, tooltip: {theme}});
      const wide = Number(live.querySelector("svg").getAttribute("width"));
      if (wide <= room) break;
      share *= Math.max(0.5, (room - 8) / wide - 0.02); // what is drawn larger would be shown smaller, text and all
    }
    // the figure says what it shows; its hundreds of marks have nothing to say to who cannot see them
    for (const part of live.querySelectorAll("svg [role], svg[role]")) part.removeAttribute("role");
    live.querySelector("svg").setAttribute("aria-hidden", "true");
    holder.replaceChildren(live);
    holder.dataset.state = "live";
    holder.dataset.room = room < NARROW ? "narrow" : "wide";
    for (const input of holder.querySelectorAll("input")) input.setAttribute("aria-label", "checkpoint");
  } catch (error) {
    holder.dataset.state = "still";
    console.error(String(error));
  }
}

(async () => {
  const holders = [...document.querySelectorAll("[data-chart]")];
  try {
    (0, eval)(await unpacked("vega"));
  } catch (error) {
    console.error(String(error));
    return;
  }
  await Promise.all(holders.map(draw));
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const holder of holders) {
        const size = holder.parentElement.clientWidth < NARROW ? "narrow" : "wide";
        if (holder.dataset.room && (size === "narrow" || holder.dataset.room !== size)) draw(holder);
      }
    }, 200);
  });
})();
