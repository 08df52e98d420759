// Every page and every state of the app that looks different: for axe, for narrow windows, and for pictures.

import { opened, PASSWORD, say, sees, signIn, the } from "./app.mjs";
import { Person } from "./people.mjs";

/** A server with people and rooms, such as they look after a while. */
export async function world(server) {
  const [ann, bob, carol] = [
    await Person.signUp(server, "ann.world", "Ann Åkesson"),
    await Person.signUp(server, "bob.world", "Bob"),
    await Person.signUp(server, "carol.world", "Carolina Montenegro de la Vega y Castellanos the Third"),
  ];
  const garden = await ann.room("Garden", "public", { description: "Seeds, seasons, and what the slugs left over." });
  for (const person of [bob, carol]) await person.join(garden);
  await bob.say(garden, "Has anybody seen the **watering can**? It stood beside the _old_ shed.");
  await carol.say(garden, "Last Tuesday:\n- behind the greenhouse\n- then by the pond\n\n> It stood beside the old shed.\n\nIt did, until the weekend.");
  await ann.say(garden, "Found it 🎉 — see https://example.org/garden/map and `map.txt`");
  await bob.say(garden, "```\nrow 1  beans\nrow 2  peas\nrow 3  whatever grows\n```");
  await carol.say(garden, "شكرا جزيلا, and thanks to everybody else too");
  const long = await ann.room("A room whose name is as long as a name may be, so that one sees where it ends, yes".slice(0, 80), "public");
  await bob.join(long);
  await bob.say(long, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(3));
  const quiet = await ann.room("Quiet corner", "private");
  for (const name of ["Books", "Bicycles", "Music we like", "Kitchen", "Lost and found"]) {
    const room = await bob.room(name, "public", { description: `Everything about: ${name.toLowerCase()}.` });
    await ann.join(room);
    await bob.say(room, `Who knows more about this than I do?`);
  }
  await bob.room("Not joined yet", "public", { description: "Come in." });
  const direct = (await ann.call("POST", "chat/rooms", { type: "direct", members: [bob.id] })).room_id;
  await bob.say(direct, "Shall we meet at six?");
  return { server, ann, bob, carol, garden, long, quiet, direct };
}

const enter = (page) => signIn(page, "ann.world");

/** Goes to a room and waits until it can be read. */
async function inRoom(page, room) {
  await enter(page);
  await page.goto(`/r/${room}`);
  await opened(page);
}

/** The same, and waits until the page there has heard from the server: a socket that is being opened may outlive the network's end. */
async function liveInRoom(page, room) {
  const greeted = new Promise((done) => {
    let there = false;
    page.on("framenavigated", (frame) => {
      there ||= frame.url().endsWith(`/r/${room}`);
    });
    page.on("websocket", (socket) => there && socket.on("framereceived", done));
  });
  await inRoom(page, room);
  await greeted;
}

/** Name of a state, and the way to it from the first page. */
export const STATES = {
  "sign-in": (page) => page.getByRole("button", { name: "Sign in" }).waitFor(),
  "sign-in-refused": async (page) => {
    await page.getByLabel("Username", { exact: true }).fill("ann.world");
    await page.getByLabel("Password", { exact: true }).fill("not the right one");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").first().waitFor();
  },
  "sign-up": async (page) => {
    await page.goto("/signup");
    await page.getByRole("button", { name: "Create account" }).waitFor();
  },
  "sign-up-mistakes": async (page) => {
    await page.goto("/signup");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("Write your username.").waitFor();
  },
  welcome: async (page, { server }) => {
    const name = `new.${Math.floor(Math.random() * 1e9)}`;
    await Person.signUp(server, name);
    await signIn(page, name);
    await page.getByRole("heading", { name: /^(Say something to somebody|No conversations yet)$/ }).first().waitFor();
  },
  list: async (page) => {
    await enter(page);
    await the.room(page, "Garden").waitFor();
  },
  room: (page, { garden }) => inRoom(page, garden),
  "room-long-words": (page, { long }) => inRoom(page, long),
  "room-empty": async (page, { quiet }) => {
    await inRoom(page, quiet);
  },
  "room-direct": (page, { direct }) => inRoom(page, direct),
  "room-writing": async (page, { garden }) => {
    await inRoom(page, garden);
    await the.field(page).fill("x".repeat(4100));
    await page.getByText(/characters too many/).waitFor();
  },
  "room-offline": async (page, { garden }, device) => {
    await liveInRoom(page, garden);
    await device.context.setOffline(true);
    await the.banner(page).getByText("You are offline").waitFor();
    await say(page, "Written without a network");
    await page.getByText("Waiting").first().waitFor();
  },
  "room-menu": async (page, { garden }) => {
    await inRoom(page, garden);
    await sees(page, "شكرا جزيلا, and thanks to everybody else too");
    // By keyboard: in a low window the row may lie below what stands over the messages.
    await page.locator("article.message").last().getByRole("button", { name: "Message actions" }).press("Enter");
    await page.getByRole("menu").waitFor();
  },
  "emoji-names": async (page, { garden }) => {
    await inRoom(page, garden);
    await the.field(page).pressSequentially("so :smi");
    await page.getByRole("listbox", { name: "Emoji suggestions" }).waitFor();
  },
  "emoji-picker": async (page, { garden }) => {
    await inRoom(page, garden);
    await page.getByRole("button", { name: "Insert emoji" }).click();
    await page.getByRole("dialog", { name: "Emoji" }).getByRole("searchbox").waitFor();
  },
  details: async (page, { garden }) => {
    await enter(page);
    await page.goto(`/r/${garden}/details`);
    await page.locator("[data-user]").first().waitFor();
  },
  "room-edit": async (page, { garden }) => {
    await STATES.details(page, { garden });
    await page.getByRole("button", { name: "Change name or description" }).click();
    await the.dialog(page).waitFor();
  },
  "leave-refused": async (page, { garden }) => {
    await STATES.details(page, { garden });
    await page.getByRole("button", { name: "Leave room" }).click();
    await the.question(page).getByRole("button", { name: "Leave room" }).click();
    await the.question(page).getByRole("alert").waitFor();
  },
  directory: async (page) => {
    await enter(page);
    await page.goto("/rooms");
    await page.getByRole("button", { name: "Join Not joined yet" }).waitFor();
  },
  "directory-nothing": async (page) => {
    await STATES.directory(page);
    await page.getByRole("searchbox", { name: "Filter by name" }).fill("zzzz");
    await page.getByRole("heading", { name: /No room matches/ }).waitFor();
  },
  join: async (page, { bob }) => {
    await enter(page);
    const { rooms } = await bob.call("GET", "chat/rooms");
    await page.goto(`/r/${rooms.find((room) => room.name === "Not joined yet").room_id}`);
    await page.getByRole("button", { name: "Join this room" }).waitFor();
  },
  "room-not-found": async (page) => {
    await enter(page);
    await page.goto("/r/018f3e1c-7c00-7000-8000-000000000001");
    await page.getByRole("heading", { name: "This room cannot be found" }).first().waitFor();
  },
  "not-found": async (page) => {
    await enter(page);
    await page.goto("/nothing/here");
    await page.getByRole("heading").first().waitFor();
  },
  "room-new": async (page) => {
    await enter(page);
    await page.getByRole("button", { name: "New room" }).first().click();
    await the.dialog(page).waitFor();
  },
  "direct-new": async (page) => {
    await enter(page);
    await page.getByRole("button", { name: "New direct message" }).click();
    await the.dialog(page).getByRole("searchbox").fill("car");
    await the.dialog(page).getByRole("button", { name: /Carolina/ }).waitFor();
  },
  switcher: async (page) => {
    await enter(page);
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("b");
    await page.getByRole("option").first().waitFor();
  },
  shortcuts: async (page) => {
    await enter(page);
    await page.keyboard.press("Control+/");
    await the.dialog(page).waitFor();
  },
  settings: async (page) => {
    await enter(page);
    await page.goto("/settings");
    await page.getByRole("heading", { name: "Sessions" }).waitFor();
  },
  "sign-out": async (page) => {
    await STATES.settings(page);
    await page.getByRole("button", { name: "Sign out", exact: true }).click();
    await the.question(page).waitFor();
  },
};

export { PASSWORD };
