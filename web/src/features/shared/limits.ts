// How long what people write into forms may be. The server decides; a form that knows it spares them a refusal.
// Browsers count `maxLength` in UTF-16 units and the server in characters, so a form never lets through more than the server takes.

export const DISPLAY_NAME_MAX = 64;
export const PASSWORD_MIN = 8;
export const PASSWORD_MAX = 256;
export const ROOM_NAME_MAX = 80;
export const ROOM_DESCRIPTION_MAX = 1000;
