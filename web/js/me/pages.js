/** A list that is fetched page by page: what is there, and a button for more. */

import { banner, button, h, replace, setBusy } from "../dom.js";
import { errorText } from "../strings/en.js";
import { people } from "../strings/people.en.js";

/**
 * @template T
 * @param {(before: string | null) => Promise<{rows: T[], next: string | null}>} fetchPage
 * @param {(row: T) => Element} show
 * @returns {Promise<Element | null>} null when there is nothing
 */
export async function pagedList(fetchPage, show) {
  const list = h("ul", { class: "history" });
  const foot = h("div", { role: "status" });
  /** @param {string | null} before */
  const load = async (before) => {
    const { rows, next } = await fetchPage(before);
    list.append(...rows.map((row) => h("li", null, show(row))));
    const more = button(people.me.more, { kind: "small", onClick: async () => {
      setBusy(more, true);
      try {
        await load(next);
      } catch (error) {
        setBusy(more, false);
        replace(foot, more, banner("danger", { text: errorText(error) }));
      }
    } });
    replace(foot, next && more);
  };
  await load(null);
  return list.children.length ? h("div", { class: "stack" }, list, foot) : null;
}
