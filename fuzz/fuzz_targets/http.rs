//! Any bytes as the head of a request, as far as the head is read by httparse, and its values by our own code.
#![no_main]

use causerie::base::text::{check_content, check_line, check_username, fold_name};
use causerie::base::{MessageId, RoomId, WallTime};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return };
    assert!(length <= bytes.len());
    let values = request.headers.iter().filter_map(|header| std::str::from_utf8(header.value).ok());
    for text in values.chain(request.path) {
        let (_, _, _) = (check_content(text), check_line(text, 64), check_username(text));
        let folded = fold_name(text);
        assert_eq!(fold_name(&folded), folded, "a folded name is its own folded form");
        let _ = WallTime::parse_rfc3339(text);
        if let Ok(room) = text.parse::<RoomId>() {
            let _ = MessageId(room.0).seq_in(room);
        }
    }
});
