//! Functions on moments, written as RFC 3339 has them. Nothing here knows what time it is.

use jiff::{
    Timestamp, Zoned,
    fmt::strtime,
    tz::{Offset, TimeZone},
};

use super::{Call, Done, Failure, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[function("formatdate", 2, 2, format_date), function("timeadd", 2, 2, time_add)];

/// The moment, in the offset that it was written with.
fn moment(text: &str) -> Result<Zoned, Failure> {
    let wrong =
        || Failure::Message(format!("{} is no moment: write for example \"2024-05-01T12:00:00Z\"", crate::diagnostic::quoted(text)));
    let timestamp: Timestamp = text.parse().map_err(|_| wrong())?;
    let offset = if text.ends_with(['Z', 'z']) {
        Offset::UTC
    } else {
        let tail = text.len().checked_sub(6).and_then(|at| text.get(at..)).ok_or_else(wrong)?;
        let (sign, hours, minutes) = match (tail.get(..1), tail.get(1..3), tail.get(4..6)) {
            (Some(sign), Some(hours), Some(minutes)) => (sign, hours, minutes),
            _ => return Err(wrong()),
        };
        let seconds = hours.parse::<i32>().map_err(|_| wrong())? * 3_600 + minutes.parse::<i32>().map_err(|_| wrong())? * 60;
        Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).map_err(|_| wrong())?
    };
    Ok(timestamp.to_zoned(TimeZone::fixed(offset)))
}

fn time_add(c: &Call<'_>) -> Done {
    let at = moment(&c.text(0)?)?;
    let span = floe_model::Nanos::parse(&c.text(1)?).map_err(|e| e.to_string())?;
    let sum = at.checked_add(jiff::SignedDuration::from_nanos(span.0)).map_err(|_| "the result is out of range")?;
    let zone = if sum.offset() == Offset::UTC { "Z".to_owned() } else { part(&sum, "%:z")? };
    c.make_text(part(&sum, "%Y-%m-%dT%H:%M:%S")? + &zone)
}

fn part(at: &Zoned, format: &str) -> Result<String, Failure> {
    strtime::format(format, at).map_err(|e| Failure::Message(format!("cannot write the moment: {e}")))
}

/// The letters of HCL's formats, as strftime writes them.
const PARTS: &[(&str, &str)] = &[
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("DD", "%d"),
    ("D", "%-d"),
    ("EEEE", "%A"),
    ("EEE", "%a"),
    ("hh", "%H"),
    ("h", "%-H"),
    ("HH", "%I"),
    ("H", "%-I"),
    ("AA", "%p"),
    ("aa", "%P"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("ZZZZZ", "%:z"),
    ("ZZZZ", "%z"),
];

fn format_date(c: &Call<'_>) -> Done {
    let (format, at) = (c.text(0)?, moment(&c.text(1)?)?);
    let mut out = String::new();
    let mut rest: &str = &format;
    while let Some(first) = rest.chars().next() {
        c.budget.work(1)?;
        if let Some(tail) = rest.strip_prefix('\'') {
            let end = tail.find('\'').ok_or("the format has an opening ' without a closing one")?;
            out.push_str(if end == 0 { "'" } else { tail.get(..end).unwrap_or("") });
            rest = tail.get(end + 1..).unwrap_or("");
            continue;
        }
        let run = rest.chars().take_while(|x| *x == first).count() * first.len_utf8();
        let (letters, tail) = rest.split_at(run);
        rest = tail;
        if !first.is_ascii_alphabetic() {
            out.push_str(letters);
            continue;
        }
        match (letters, PARTS.iter().find(|(name, _)| *name == letters)) {
            (_, Some((_, format))) => out.push_str(&part(&at, format)?),
            ("Z" | "ZZZ", None) if at.offset() == Offset::UTC => out.push_str(if letters == "Z" { "Z" } else { "UTC" }),
            ("Z", None) => out.push_str(&part(&at, "%:z")?),
            ("ZZZ", None) => out.push_str(&part(&at, "%z")?),
            _ => return Err(format!("unknown letters {letters:?} in the format: text stands in '...'").into()),
        }
    }
    c.make_text(out)
}
