//! Amounts with a unit, as attributes of devices have them: `80 GiB`, `1.5 GHz`, `300 W`.

/// Units by dimension, each with how many of the dimension's least unit it is.
const UNITS: &[(&str, Dimension, f64)] = &[
    ("B", Dimension::Bytes, 1.0),
    ("kB", Dimension::Bytes, 1e3),
    ("KB", Dimension::Bytes, 1e3),
    ("MB", Dimension::Bytes, 1e6),
    ("GB", Dimension::Bytes, 1e9),
    ("TB", Dimension::Bytes, 1e12),
    ("PB", Dimension::Bytes, 1e15),
    ("KiB", Dimension::Bytes, KIB),
    ("MiB", Dimension::Bytes, KIB * KIB),
    ("GiB", Dimension::Bytes, KIB * KIB * KIB),
    ("TiB", Dimension::Bytes, KIB * KIB * KIB * KIB),
    ("PiB", Dimension::Bytes, KIB * KIB * KIB * KIB * KIB),
    ("Hz", Dimension::Hertz, 1.0),
    ("kHz", Dimension::Hertz, 1e3),
    ("MHz", Dimension::Hertz, 1e6),
    ("GHz", Dimension::Hertz, 1e9),
    ("mW", Dimension::Watts, 1.0),
    ("W", Dimension::Watts, 1e3),
    ("kW", Dimension::Watts, 1e6),
    ("MW", Dimension::Watts, 1e9),
    ("GW", Dimension::Watts, 1e12),
];
const KIB: f64 = 1024.0;
/// Written after a unit of bytes.
const PER_SECOND: &str = "/s";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Bytes,
    BytesPerSecond,
    Hertz,
    Watts,
}

/// Both as plain numbers of the same unit; `None` when one of them is no amount with a unit, or they are of different dimensions.
pub(crate) fn comparable(left: &str, right: &str) -> Option<(String, String)> {
    let ((left, of_left), (right, of_right)) = (amount(left)?, amount(right)?);
    (of_left == of_right).then(|| (left.to_string(), right.to_string()))
}

fn amount(text: &str) -> Option<(f64, Dimension)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'))?;
    let (number, unit) = text.split_at_checked(end)?;
    let (unit, is_rate) = match unit.trim_start().strip_suffix(PER_SECOND) {
        Some(unit) => (unit, true),
        None => (unit.trim_start(), false),
    };
    let (_, dimension, factor) = UNITS.iter().find(|(name, ..)| *name == unit)?;
    let dimension = match (dimension, is_rate) {
        (dimension, false) => *dimension,
        (Dimension::Bytes, true) => Dimension::BytesPerSecond,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|n| (n * factor, dimension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_one_dimension_are_compared_in_one_unit() {
        for (left, right) in [("1 GiB", "1024MiB"), ("2 GHz", "2000 MHz"), ("0.3 kW", "300 W"), ("1 GB/s", "1000 MB/s"), ("1 kB", "1000 B")]
        {
            let both = comparable(left, right);
            assert!(both.as_ref().is_some_and(|(l, r)| l == r), "{left} {right}: {both:?}");
        }
        for (left, right) in
            [("1 GiB", "1 GHz"), ("1 GB/s", "1 GB"), ("1", "2"), ("80", "80 GiB"), ("x GiB", "1 GiB"), ("1 W/s", "1 W/s"), ("", "1 W")]
        {
            assert_eq!(comparable(left, right), None, "{left} {right}");
        }
    }
}
