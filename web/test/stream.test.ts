import { expect, test } from "vitest";

import { Parser, type Event } from "../src/stream";

const text = ': hello\r\nretry: 250\nid: 7\nevent: tick\ndata: {"a":\ndata: 1}\n\nevent: none\n\ndata:x\r\rid\ndata\n\n';
const events: Event[] = [
  { id: "7", name: "tick", data: '{"a":\n1}' },
  { id: "7", name: "message", data: "x" },
  { id: "", name: "message", data: "" },
];

test("events are the same however the text is cut", () => {
  for (let size = 1; size <= text.length; size++) {
    const parser = new Parser();
    const got: Event[] = [];
    for (let i = 0; i < text.length; i += size) got.push(...parser.push(text.slice(i, i + size)));
    expect(got).toEqual(events);
    expect(parser.retry).toBe(250);
  }
});
