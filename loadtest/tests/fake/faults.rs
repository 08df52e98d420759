//! The faults, and when each is committed.

/// What is done wrong with one message. "The victim" is the first other member of the room who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The victim does not get it.
    DropDelivery,
    /// The victim gets it twice.
    DeliverTwice,
    /// The victim gets it after the one that follows.
    SwapDeliveries,
    /// Somebody who is not in the room gets it, too.
    DeliverOutside,
    /// The sender's own connection gets a copy beside the ack.
    CopyToSender,
    /// The victim gets the text of another message.
    OtherMessage,
    /// The victim gets it with its last word changed.
    OtherText,
    /// It is acked and nothing else.
    AckOnly,
    /// It is delivered and acked and stands in no log; its number stays empty.
    DeliverOnly,
    /// It is acked twice, with two places.
    TwoAnswers,
    /// It stands in the log twice, and is delivered so.
    StoreTwice,
    /// It is stored after the sender's next one.
    SwapStored,
    /// One number of the log is passed over before it.
    LogHole,
    /// All is done but the ack.
    SwallowAck,
    /// The victim's connection is closed with this code, before the delivery.
    Close(u16),
    /// The victim's connection is cut without a word, before the delivery.
    Cut,
    /// It is refused with this code.
    Refuse(&'static str),
}

/// What is done wrong with a resume: the first one in which enough is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeFault {
    /// One missed message is left out.
    Gap,
    /// One missed message comes twice.
    Twice,
    /// Nothing comes but `reload`.
    Reload,
}

/// Which faults are committed, and when.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// With which message (0 is the first that comes, over all rooms) what is done. When it cannot be done there (nobody to do it
    /// to), it is done with the next.
    pub faults: Vec<(u64, Fault)>,
    /// What is done with a resume, once.
    pub resume: Option<ResumeFault>,
}

impl Plan {
    /// One fault.
    pub fn one(at: u64, fault: Fault) -> Self {
        Self { faults: vec![(at, fault)], resume: None }
    }

    /// The fault that waits for the `n`-th message, if any.
    pub fn due(&self, n: u64) -> Option<Fault> {
        self.faults.iter().find(|(at, _)| *at <= n).map(|(_, fault)| *fault)
    }

    /// It was committed.
    pub fn done(&mut self, fault: Fault) {
        if let Some(place) = self.faults.iter().position(|(_, f)| *f == fault) {
            self.faults.remove(place);
        }
    }
}
