//! Pages of history and of what was missed are large: a connection gets them one after the other, the next one when the last has left.
//!
//! So a client may ask for as much as it likes at once; what it costs in memory is one page.

use crate::base::limits::ROOMS_PER_REQUEST_MAX;
use crate::base::time::Now;
use crate::base::{Code, ConnId, Refusal};
use crate::chat::{ReplyTo, RoomCommand, What};
use crate::connection::PageWanted;

use super::{Effects, Shard};

/// So many pages may wait for one connection.
const WAITING_MAX: usize = 2 * ROOMS_PER_REQUEST_MAX;

impl Shard {
    /// A client asks for a page.
    pub(super) fn page(&mut self, conn: ConnId, wanted: PageWanted, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.pages.waiting.len() >= WAITING_MAX {
            let why = "Too many pages were asked for at once: wait for their answers.";
            let refusal = Refusal::because(Code::Busy, why).retry_after(200);
            self.error(conn, wanted.id, Some(wanted.room), refusal, now, effects);
            return;
        }
        connection.pages.waiting.push_back(wanted);
        self.next_page(conn, now, effects);
    }

    /// Asks for the next page if its turn has come.
    pub(super) fn next_page(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        // While much waits to leave, the next page would only wait in memory.
        if connection.pages.asked || connection.outbox.bytes() > self.setup.limits.outbox_bytes / 4 {
            return;
        }
        let Some(actor) = connection.actor else { return };
        let Some(PageWanted { id, room, command, taken }) = connection.pages.waiting.pop_front() else { return };
        connection.pages.asked = true;
        let what = if matches!(command, RoomCommand::Resume { .. }) { What::Resume } else { What::History };
        let to = ReplyTo::Conn { conn, id, what, taken };
        self.command(room, actor, command, to, now, effects);
    }

    /// The page that was asked for has been answered.
    pub(super) fn page_answered(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.pages.asked = false;
        }
        self.next_page(conn, now, effects);
    }

    /// Connections whose outbox ran empty while pages wait.
    pub(super) fn more_pages(&mut self, now: Now, effects: &mut Effects) {
        for conn in std::mem::take(&mut self.paged) {
            self.next_page(conn, now, effects);
        }
    }
}
