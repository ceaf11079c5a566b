// A model's answer is untrusted text. This draws the little Markdown that
// models write, building every node by hand: no HTML is ever parsed, and
// nothing is fetched.
const markdown = (() => {
  "use strict";

  const inlineSyntax = /(`+)(.+?)\1|\*\*(.+?)\*\*|(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])/gs;

  function node(tag, ...children) {
    const n = document.createElement(tag);
    n.append(...children);
    return n;
  }

  function inline(text) {
    const out = [];
    let at = 0;
    for (const m of text.matchAll(inlineSyntax)) {
      if (m.index > at) out.push(text.slice(at, m.index));
      if (m[2] !== undefined) out.push(node("code", m[2]));
      else if (m[3] !== undefined) out.push(node("strong", ...inline(m[3])));
      else out.push(node("em", ...inline(m[4])));
      at = m.index + m[0].length;
    }
    if (at < text.length) out.push(text.slice(at));
    return out;
  }

  function list(lines) {
    const ordered = /^\s*\d+[.)]\s/.test(lines[0]);
    const items = [];
    for (const line of lines) {
      const m = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/.exec(line);
      if (m) items.push(m[1]);
      else items[items.length - 1] += "\n" + line.trim();
    }
    return node(ordered ? "ol" : "ul", ...items.map((i) => node("li", ...inline(i))));
  }

  // blocks returns the nodes of text, which may be cut off anywhere.
  function blocks(text) {
    const out = [];
    const lines = text.split("\n");
    let i = 0;
    while (i < lines.length) {
      const line = lines[i];
      const fence = /^\s*(```+|~~~+)/.exec(line);
      if (fence) {
        const body = [];
        for (i++; i < lines.length && !lines[i].trim().startsWith(fence[1]); i++) body.push(lines[i]);
        i++;
        out.push(node("pre", node("code", body.join("\n"))));
        continue;
      }
      if (!line.trim()) { i++; continue; }
      const heading = /^#{1,6}\s+(.*)$/.exec(line);
      if (heading) {
        out.push(node("p", node("strong", ...inline(heading[1]))));
        i++;
        continue;
      }
      const part = [];
      const isList = /^\s*(?:[-*+]|\d+[.)])\s/.test(line);
      for (; i < lines.length && lines[i].trim() && !/^\s*(```|~~~)/.test(lines[i]); i++) {
        if (!isList && part.length && /^\s*(?:[-*+]|\d+[.)])\s/.test(lines[i])) break;
        part.push(lines[i]);
      }
      out.push(isList ? list(part) : node("p", ...inline(part.join("\n"))));
    }
    return out;
  }

  return { draw: (target, text) => target.replaceChildren(...blocks(text)) };
})();
