//! Spans and moments as the wire writes them. Nothing here reads a clock: the leader stamps the time into a command.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A span of time in nanoseconds. JSON: an integer; a string like `"1h30m"` is accepted on input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nanos(pub i64);

/// A span that is no span: what the text is and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration {text:?}: {reason}; write for example \"30s\", \"5m\" or \"1h30m\"")]
pub struct ParseDurationError {
    text: String,
    reason: &'static str,
}

const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl Nanos {
    /// No time at all.
    pub const ZERO: Nanos = Nanos(0);
    /// The longest span.
    pub const MAX: Nanos = Nanos(i64::MAX);

    /// A span of whole milliseconds.
    pub const fn from_millis(ms: i64) -> Self {
        Nanos(ms.saturating_mul(1_000_000))
    }
    /// A span of whole seconds.
    pub const fn from_secs(s: i64) -> Self {
        Nanos(s.saturating_mul(1_000_000_000))
    }
    /// A span of whole minutes.
    pub const fn from_mins(m: i64) -> Self {
        Self::from_secs(m.saturating_mul(60))
    }
    /// A span of whole hours.
    pub const fn from_hours(h: i64) -> Self {
        Self::from_mins(h.saturating_mul(60))
    }
    /// The span in whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000_000
    }
    /// As the standard library's duration; a negative span is zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
    /// From the standard library's duration; more than 292 years is 292 years.
    pub fn from_std(d: std::time::Duration) -> Self {
        Nanos(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }
    /// The sum, which stops at the longest span.
    pub const fn saturating_add(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(other.0))
    }

    /// Parses Go's notation: decimal numbers with units `ns us ms s m h`, for example `1.5h` or `-2m30s`.
    ///
    /// # Errors
    /// When the text is empty, has no unit, an unknown unit, or overflows 292 years.
    pub fn parse(text: &str) -> Result<Nanos, ParseDurationError> {
        let fail = |reason| ParseDurationError { text: text.chars().take(64).collect(), reason };
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(r) => (true, r),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Nanos(0));
        }
        if rest.is_empty() {
            return Err(fail("it is empty"));
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| fail("a unit is missing"))?;
            let (number, tail) = rest.split_at(number_len);
            let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let scale = UNITS.iter().find(|(u, _)| *u == unit).ok_or_else(|| fail("unknown unit"))?.1;
            let part = scaled(number, scale).ok_or_else(|| fail("not a number, or too large"))?;
            total = total.checked_add(part).ok_or_else(|| fail("too large"))?;
            rest = tail;
        }
        Ok(Nanos(if negative { -total } else { total }))
    }
}

/// `number` (digits with at most one point) times `scale`, exact for the digits that matter.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        nanos = nanos.checked_add(i64::from(digit - b'0').checked_mul(unit)?)?;
    }
    Some(nanos)
}

impl fmt::Display for Nanos {
    /// Go's notation: `1h30m0s`, `1.5s`, `250ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match n {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{n}ns"),
            1_000..1_000_000 => write_decimal(f, n, 1_000, "µs"),
            1_000_000..1_000_000_000 => write_decimal(f, n, 1_000_000, "ms"),
            _ => {
                let (h, m) = (n / 3_600_000_000_000, n / 60_000_000_000 % 60);
                if h > 0 {
                    write!(f, "{h}h")?;
                }
                if n >= 60_000_000_000 {
                    write!(f, "{m}m")?;
                }
                write_decimal(f, n % 60_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, n: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", n / unit)?;
    let mut rest = n % unit;
    if rest > 0 {
        f.write_str(".")?;
        let mut digit = unit / 10;
        while rest > 0 {
            write!(f, "{}", rest / digit)?;
            rest %= digit;
            digit /= 10;
        }
    }
    f.write_str(name)
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl de::Visitor<'_> for V {
            type Value = Nanos;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration: nanoseconds as an integer, or text like \"30s\"")
            }
            fn visit_i64<E>(self, v: i64) -> Result<Nanos, E> {
                Ok(Nanos(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Nanos, E> {
                i64::try_from(v).map(Nanos).map_err(|_| E::custom("duration is longer than 292 years"))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Nanos, E> {
                if v.is_empty() { Ok(Nanos(0)) } else { Nanos::parse(v).map_err(E::custom) }
            }
        }
        d.deserialize_any(V)
    }
}

/// A moment: nanoseconds since 1970 (UTC). JSON: RFC 3339, where Go's zero time means "never"; MessagePack: an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// What Go writes for a time that was never set.
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    /// The moment that means "never".
    pub const NEVER: Timestamp = Timestamp(0);

    /// True when no moment was set.
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }
    /// The moment `span` later.
    pub const fn plus(self, span: Nanos) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
    /// The span since `earlier`; negative when `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str(GO_ZERO);
        }
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => f.write_str(GO_ZERO),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl de::Visitor<'_> for V {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339, or nanoseconds since 1970")
            }
            fn visit_i64<E>(self, v: i64) -> Result<Timestamp, E> {
                Ok(Timestamp(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Timestamp, E> {
                i64::try_from(v).map(Timestamp).map_err(|_| E::custom("time is out of range"))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Timestamp, E> {
                if v.is_empty() || v == GO_ZERO {
                    return Ok(Timestamp::NEVER);
                }
                let t: jiff::Timestamp = v.parse().map_err(|e| E::custom(format!("invalid time {v:?}: {e}")))?;
                i64::try_from(t.as_nanosecond()).map(Timestamp).map_err(|_| E::custom("time is out of range"))
            }
        }
        d.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_read_like_gos() {
        for (text, want) in [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("-2m", -120_000_000_000),
            ("100us", 100_000),
            ("1µs", 1_000),
            ("2562047h", 2_562_047 * 3_600_000_000_000),
        ] {
            assert_eq!(Nanos::parse(text), Ok(Nanos(want)), "{text}");
        }
        for text in ["", "-", "5", "5 s", "s", "1x", "1..5s", ".s", "99999999h", "1h-3m"] {
            assert!(Nanos::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_print_like_gos() {
        for (n, want) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(Nanos(n).to_string(), want);
        }
    }

    #[test]
    fn moments_are_rfc3339_in_json_and_integers_in_messagepack() {
        let t = Timestamp(1_700_000_000_123_000_000);
        assert_eq!(serde_json::to_string(&t).unwrap(), "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::to_string(&Timestamp::NEVER).unwrap(), "\"0001-01-01T00:00:00Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>("\"0001-01-01T00:00:00Z\"").unwrap(), Timestamp::NEVER);
        assert_eq!(serde_json::from_str::<Timestamp>("\"2023-11-14T23:13:20.123+01:00\"").unwrap(), t);
        assert_eq!(rmp_serde::to_vec(&t).unwrap().len(), 9);
    }

    proptest! {
        #[test]
        fn spans_survive_text(n in (i64::MIN + 1)..i64::MAX) {
            prop_assert_eq!(Nanos::parse(&Nanos(n).to_string()), Ok(Nanos(n)));
        }
        #[test]
        fn any_text_is_refused_or_read(s in ".{0,40}") {
            let _ = Nanos::parse(&s);
        }
        #[test]
        fn moments_survive_json(n in 1i64..4_000_000_000_000_000_000) {
            let t = Timestamp(n);
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&t).unwrap()).unwrap(), t);
        }
    }
}
