"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { columns, flagNames, viewNames, pictures, failed, windows } = data;
  const count = columns.id.length;
  const picturesPerPage = 24, rowsPerPage = 100;
  const form = document.getElementById("filters");
  const gallery = document.getElementById("gallery");
  const listing = document.getElementById("listing");
  const pager = document.getElementById("pager");
  const legend = document.querySelector(".legend");
  const buttons = { pictures: document.getElementById("as-pictures"), table: document.getElementById("as-table") };
  let mode = Object.keys(pictures).length ? "pictures" : "table";
  let page = 0;
  let found = [];

  const make = (tag, properties = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value; else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const shown = (number, digits = 0) => // null: out of range
    number === null ? "?" : number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const namesOf = (flags) => flagNames.filter(([bit]) => flags & bit).map(([, name]) => name);

  // Sorted once for each order that is asked for: sorting 60,000 ids takes longer than filtering them.
  const orders = new Map();
  const order = (sort) => {
    if (!orders.has(sort)) {
      const [key, way] = sort.split(":");
      const values = columns[key];
      const rows = Array.from({ length: count }, (_, row) => row);
      if (key === "suspicion") rows.sort((a, b) => values[b] - values[a] || a - b);
      else if (key === "id") { if (way === "down") rows.reverse(); } // the cache is in order of id
      else rows.sort((a, b) => (way === "up" ? values[a] - values[b] : values[b] - values[a]) || a - b);
      orders.set(sort, rows);
    }
    return orders.get(sort);
  };

  const limit = (name, otherwise) => {
    const text = form.elements[name]?.value.trim() ?? "";
    return text === "" || Number.isNaN(Number(text)) ? otherwise : Number(text);
  };

  const select = () => {
    const text = form.elements.text.value.trim().toLowerCase();
    const flag = form.elements.flag.value;
    const sizes = [limit("sizeFrom", -Infinity), limit("sizeTo", Infinity)];
    const offsets = [limit("offsetFrom", -Infinity), limit("offsetTo", Infinity)];
    return order(form.elements.sort.value).filter((row) => {
      const flags = columns.flags[row], size = columns.size[row], offset = columns.offset?.[row] ?? 0;
      return (flag === "any" || (flag === "none" ? flags === 0 : (flags & Number(flag)) !== 0))
        && size >= sizes[0] && size <= sizes[1] && offset >= offsets[0] && offset <= offsets[1]
        && (text === "" || columns.id[row].toLowerCase().includes(text));
    });
  };

  const facts = (row) =>
    `axes ${shown(columns.size[row], 1)} × ${shown(columns.ratio[row] === null ? null : columns.size[row] * columns.ratio[row], 1)} px` +
    (columns.offset ? ` · offset ${shown(columns.offset[row], 1)} px` : "");

  const overlay = ([height, width, y, x, major, minor, orientation, windowY, windowX, side]) => {
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    // Pixel centres are at integers, pixel edges half a pixel away; the angle is the one from the row axis.
    const turn = Math.atan2(Math.cos(orientation), Math.sin(orientation)) * 180 / Math.PI;
    const shape = {
      cx: x + 0.5, cy: y + 0.5, rx: major / 2, ry: minor / 2, transform: `rotate(${turn} ${x + 0.5} ${y + 0.5})`,
    };
    const edge = Math.max(width, height) / 200; // the line of a window that ends at the frame stays inside
    const [left, right] = [windowX + 0.5 - side / 2, windowX + 0.5 + side / 2].map((at) => Math.min(Math.max(at, edge), width - edge));
    const [top, bottom] = [windowY + 0.5 - side / 2, windowY + 0.5 + side / 2].map((at) => Math.min(Math.max(at, edge), height - edge));
    const square = { x: left, y: top, width: right - left, height: bottom - top };
    for (const halo of [true, false]) {
      drawing.append(svg("rect", { ...square, class: halo ? "halo" : "window" }));
      if (major > 0) drawing.append(svg("ellipse", { ...shape, class: halo ? "halo" : "ellipse" }));
    }
    return drawing;
  };

  const tile = (name, id, source, drawing) => {
    const frame = make("div", { className: "frame" });
    if (source) frame.append(make("img", { src: `data:image/jpeg;base64,${source}`, alt: `${id}: ${name}`, decoding: "async" }));
    else frame.append(make("span", {}, "original not found"));
    if (source && drawing) frame.append(drawing);
    return make("figure", {}, frame, make("figcaption", {}, name));
  };

  const card = (row) => {
    const [original, views, shape] = pictures[row];
    const id = columns.id[row];
    const strip = make("div", { className: "strip" });
    strip.style.gridTemplateColumns = `repeat(${Math.min(views.length + 1, 4)}, 1fr)`;
    strip.append(tile("original", id, original, shape && overlay(shape)), ...views.map((view, k) => tile(viewNames[k], id, view)));
    const item = make("li", { id: `galaxy-${row}`, tabIndex: -1 }, strip, make("h3", {}, make("bdi", {}, id)), make("p", { className: "facts" }, facts(row)));
    const flags = namesOf(columns.flags[row]);
    if (flags.length) item.append(make("ul", { className: "marks", "aria-label": "Flags" }, ...flags.map((name) => make("li", { className: "mark" }, name))));
    return item;
  };

  const headings = [
    ["Id", "id", "up"], ["Major axis (px)", "size", "down"], ["Axis ratio", "ratio", "up"],
    ["Offset (px)", "offset", "down"], ["Suspicion", "suspicion", "down"], ["Flags", null, null],
  ].filter(([, key]) => key !== "offset" || columns.offset);
  if (!columns.offset) for (const element of form.querySelectorAll(".offset")) element.remove();
  const setSort = (value) => {
    const menu = form.elements.sort;
    if (![...menu.options].some((option) => option.value === value)) menu.append(new Option("id, last first", value));
    menu.value = value;
  };
  const table = (rows) => {
    const current = form.elements.sort.value === "suspicion" ? ["suspicion", "down"] : form.elements.sort.value.split(":");
    const head = make("tr");
    for (const [text, key, first] of headings) {
      const cell = make("th", { scope: "col" });
      if (key !== "id" && key) cell.className = "number";
      if (key) {
        const button = make("button", { type: "button" }, text);
        const sorted = current[0] === key;
        if (sorted) cell.setAttribute("aria-sort", current[1] === "up" ? "ascending" : "descending");
        button.addEventListener("click", () => {
          const way = sorted ? (current[1] === "up" ? "down" : "up") : first;
          setSort(key === "suspicion" ? "suspicion" : `${key}:${way}`);
          update();
          listing.querySelectorAll("th button")[headings.findIndex((heading) => heading[1] === key)].focus();
        });
        cell.append(button);
      } else cell.append(text);
      head.append(cell);
    }
    const body = make("tbody");
    for (const row of rows) {
      const numbers = [
        [columns.size[row], 1], [columns.ratio[row], 2], ...(columns.offset ? [[columns.offset[row], 1]] : []),
        [columns.suspicion[row], 1],
      ].map(([value, digits]) => make("td", { className: "number" }, shown(value, digits)));
      const flags = namesOf(columns.flags[row]).map((name) => make("span", { className: "mark" }, name));
      body.append(make("tr", { id: `galaxy-${row}`, tabIndex: -1 }, make("th", { scope: "row" }, make("bdi", {}, columns.id[row])), ...numbers, make("td", {}, ...flags)));
    }
    const caption = make("caption", {}, "Choose a heading to sort by it. Suspicion: 0 is ordinary, above 3 is worth a look.");
    return make("table", {}, caption, make("thead", {}, head), body);
  };

  const fillPager = (place, current, pages, go, label) => {
    place.replaceChildren();
    if (pages < 2) return;
    const step = (text, target) => {
      const button = make("button", { type: "button", disabled: target < 0 || target >= pages || target === current }, text);
      button.addEventListener("click", () => {
        go(target);
        const again = [...place.querySelectorAll("button")].find((other) => other.textContent === text);
        if (again && !again.disabled) again.focus(); else label.focus();
      });
      return button;
    };
    place.append(
      step("First", 0), step("Previous", current - 1),
      make("span", {}, `page ${shown(current + 1)} of ${shown(pages)}`),
      step("Next", current + 1), step("Last", pages - 1),
    );
  };

  const inMode = () => (mode === "pictures" ? found.filter((row) => row in pictures) : found);
  const perPageOf = () => (mode === "pictures" ? picturesPerPage : rowsPerPage);
  const show = () => {
    const pictured = inMode(), perPage = perPageOf();
    const pages = Math.ceil(pictured.length / perPage);
    page = Math.max(0, Math.min(page, pages - 1));
    const rows = pictured.slice(page * perPage, (page + 1) * perPage);
    gallery.hidden = legend.hidden = mode !== "pictures";
    listing.hidden = mode !== "table";
    gallery.replaceChildren(...(mode === "pictures" ? rows.map(card) : []));
    listing.replaceChildren(...(mode === "table" ? [table(rows)] : []));
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(name === mode));
    let text = `${shown(found.length)} of ${shown(count)} galaxies`;
    if (mode === "pictures" && pictured.length < found.length) text += `, ${shown(pictured.length)} of them with pictures`;
    document.getElementById("count").textContent = found.length ? text : "No galaxy is like that. Widen the limits, or reset.";
    fillPager(pager, page, pages, (target) => {
      page = target;
      show();
      document.getElementById("count").scrollIntoView();
    }, document.getElementById("galaxies"));
  };

  const update = () => {
    page = 0;
    found = select();
    show();
  };

  // Windows in tiles lead to galaxies, which are made only when shown.
  const goToGalaxy = () => {
    const row = Number(/^#galaxy-(\d+)$/.exec(location.hash)?.[1] ?? NaN);
    if (!(row < count)) return;
    mode = row in pictures ? "pictures" : "table";
    found = select();
    if (!found.includes(row)) {
      for (const element of form.elements) if (element.name && element.name !== "sort") element.value = element.name === "flag" ? "any" : "";
      found = select();
    }
    page = Math.floor(inMode().indexOf(row) / perPageOf());
    show();
    const place = document.getElementById(`galaxy-${row}`);
    place.scrollIntoView({ block: "center" });
    place.focus({ preventScroll: true });
  };
  document.querySelectorAll(".sheet").forEach((sheet, number) => {
    const drawing = svg("svg", { viewBox: `0 0 ${sheet.dataset.width} ${sheet.dataset.height}` });
    for (const [row, x, y, side] of windows[number]) {
      // Not stops of the keyboard: there may be thousands, and the galaxies below are the same.
      const link = svg("a", { href: `#galaxy-${row}`, tabindex: -1, class: row in pictures ? "pictured" : "listed" });
      const title = svg("title", {});
      title.textContent = columns.id[row];
      link.append(svg("rect", { x, y, width: side, height: side }), title);
      drawing.append(link);
    }
    drawing.addEventListener("click", (event) => {
      if (event.target.closest("a")?.getAttribute("href") === location.hash) goToGalaxy();
    });
    sheet.append(drawing);
  });
  addEventListener("hashchange", goToGalaxy);

  const showFailed = (current) => {
    const perPage = 20;
    const body = make("tbody");
    for (const [id, source, reason] of failed.slice(current * perPage, (current + 1) * perPage)) {
      body.append(make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, id)), make("td", {}, make("bdi", {}, source)), make("td", {}, reason)));
    }
    const head = make("tr", {}, ...["Id", "File", "Reason"].map((text) => make("th", { scope: "col" }, text)));
    const place = document.getElementById("failed");
    place.replaceChildren(make("table", {}, make("caption", {}, "Failed images"), make("thead", {}, head), body));
    fillPager(document.getElementById("failed-pager"), current, Math.ceil(failed.length / perPage), showFailed, place);
  };

  // A select says "input" and "change" at once; a field that was typed in says "change" only when it is left, perhaps
  // for the button of the next page.
  form.addEventListener("input", (event) => { if (event.target.tagName === "INPUT") update(); });
  form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") update(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  for (const [name, button] of Object.entries(buttons)) {
    button.addEventListener("click", () => { mode = name; page = 0; show(); });
  }
  for (const button of document.querySelectorAll("button[data-flag]")) {
    button.addEventListener("click", () => {
      form.elements.flag.value = button.dataset.flag;
      update();
      const section = document.getElementById("galaxies");
      section.scrollIntoView();
      section.focus({ preventScroll: true });
    });
  }
  if (document.getElementById("failed")) showFailed(0);
  update();
  goToGalaxy();
})();
