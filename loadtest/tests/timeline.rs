//! The seconds of a report: all that happened stands in one of them, and the last one, in which the run ended, says how long it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use fake::{Fake, Setup, talk};

#[test]
fn nothing_is_left_out_and_the_last_second_has_its_real_length() {
    let report = Fake::start(Setup::default()).run(&talk(6, 3, 1.4, 100));
    let sum = |of: fn(&causerie_load::report::Sample) -> u64| report.timeline.iter().map(of).sum::<u64>();
    let talk = report.phases.last().unwrap();
    assert_eq!((talk.sent, talk.acked, talk.delivered), (140, 140, 280));
    assert_eq!((sum(|s| s.sent), sum(|s| s.acked), sum(|s| s.delivered)), (140, 140, 280));
    let (last, whole) = report.timeline.split_last().unwrap();
    assert!(whole.iter().all(|second| second.seconds.is_none()), "{:?}", report.timeline);
    // A rest shorter than a tenth goes with the second before.
    let length = last.seconds.unwrap();
    assert!(length > 0.0 && length < 1.2, "{length}");
    assert!((last.began() - last.began().round()).abs() < 1e-6, "it begins with a second: {last:?}");
    assert!(last.t > talk.start_seconds + talk.seconds, "{last:?}");
    assert_eq!(last.open, 6);
    assert!(report.timeline.windows(2).all(|pair| (pair[1].began() - pair[0].t).abs() < 1e-6), "no hole between them");
}
