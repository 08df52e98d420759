//! When a certificate ends: the one field that is read out of X.509 here, since clients stop coming at that second.
//!
//! Certificates are the operator's own; still nothing is believed of their lengths, and what is not understood gives `None`. Whether a
//! certificate is any good is not looked at.

use time::{Date, Month, PrimitiveDateTime, Time};

/// DER's tags (X.690).
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER, in seconds since 1970.
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<u64> {
    // Certificate { tbs { [0] version OPTIONAL, serial, signature, issuer, validity { notBefore, notAfter }, … } … } (RFC 5280, 4.1)
    let (outer, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, outer)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The first element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // How many bytes of length follow; no certificate needs more than four.
        let count = usize::from(first & 0x7f);
        let bytes = rest.get(..count).filter(|bytes| (1..=4).contains(&bytes.len()))?;
        let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        (length, rest.get(count..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn seconds(tag: u8, text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    u64::try_from(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 7);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        // Up to 2049 as UTCTime, from then on as GeneralizedTime.
        for year in [1999, 2027, 2049, 2050, 2170] {
            let wanted = date_time_ymd(year, 3, 7).unix_timestamp();
            assert_eq!(not_after(&certificate(year)), u64::try_from(wanted).ok(), "{year}");
        }
    }

    #[test]
    fn what_is_cut_off_or_wrong_gives_nothing() {
        let whole = certificate(2027);
        assert!((0..whole.len()).all(|end| not_after(&whole[..end]).is_none()));
        for text in ["270307000000", "27030700000Z", "271307000000Z", "270332000000Z", "270307250000Z", "2703070000é0Z"]
        {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(seconds(SEQUENCE, "270307000000Z"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..300, byte in any::<u8>()) {
            let _ = not_after(&bytes);
            let mut damaged = certificate(2027);
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            let _ = not_after(&damaged);
        }
    }
}
