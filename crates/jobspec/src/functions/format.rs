//! `format` and `formatlist`: the verbs of C's printf, as Go has them.

use super::{Call, Done, Failure, Function, function};
use crate::value::{Number, Value};

pub(super) const FUNCTIONS: &[Function] = &[function("format", 1, super::ANY, format), function("formatlist", 1, super::ANY, format_list)];

/// The widest field, and the most digits.
const MAX_WIDTH: usize = 1_024;

fn format(c: &Call<'_>) -> Done {
    let text = c.text(0)?;
    c.make_text(render(c, &text, c.args.get(1..).unwrap_or(&[]))?)
}

fn format_list(c: &Call<'_>) -> Done {
    let text = c.text(0)?;
    let args = c.args.get(1..).unwrap_or(&[]);
    let mut lengths = args.iter().filter_map(|arg| if let Value::List(list) = arg { Some(list.items.len()) } else { None });
    let count = lengths.next().unwrap_or(1);
    if lengths.any(|len| len != count) {
        return Err("all lists must have the same length".into());
    }
    let mut lines = Vec::new();
    for i in 0..count {
        let row: Vec<Value> = args
            .iter()
            .map(|arg| match arg {
                Value::List(list) => list.items.get(i).cloned().unwrap_or(Value::Null),
                other => other.clone(),
            })
            .collect();
        lines.push(c.make_text(render(c, &text, &row)?)?);
    }
    c.make_list(lines)
}

#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    hash: bool,
    width: usize,
    precision: Option<usize>,
}

fn render(c: &Call<'_>, text: &str, args: &[Value]) -> Result<String, Failure> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut next = 0;
    while let Some(x) = chars.next() {
        if x != '%' {
            out.push(x);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|x| "-+ 0#".contains(*x)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                ' ' => verb.space = true,
                '0' => verb.zero = true,
                _ => verb.hash = true,
            }
        }
        verb.width = digits(&mut chars)?;
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut chars)?);
        }
        if chars.next_if_eq(&'[').is_some() {
            let index = digits(&mut chars)?;
            if index == 0 || chars.next() != Some(']') {
                return Err("expected the number of an argument like [1] after %".into());
            }
            next = index - 1;
        }
        let letter = chars.next().ok_or("the text ends with a lone %: write %% for a percent sign")?;
        if letter == '%' {
            out.push('%');
            continue;
        }
        let arg = args.get(next).ok_or_else(|| format!("there is no argument for %{letter}: {} are given", args.len()))?;
        next += 1;
        let field = padded(&verb, letter, one(c, &verb, letter, arg)?);
        c.budget.work(1 + field.len() / 64)?;
        out.push_str(&field);
        if out.len() > c.budget.limits().value_bytes {
            c.room(out.len())?;
        }
    }
    let used_index = text.contains("[");
    if next < args.len() && !used_index {
        return Err(format!("{} arguments are given, the text uses {next}", args.len()).into());
    }
    Ok(out)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<usize, Failure> {
    let mut number = 0_usize;
    while let Some(x) = chars.next_if(char::is_ascii_digit) {
        number = number.saturating_mul(10).saturating_add(x.to_digit(10).unwrap_or(0) as usize);
    }
    if number > MAX_WIDTH {
        return Err(format!("a width of {number} is more than {MAX_WIDTH}, the limit").into());
    }
    Ok(number)
}

fn padded(verb: &Verb, letter: char, field: String) -> String {
    let missing = verb.width.saturating_sub(field.chars().count());
    if missing == 0 {
        return field;
    }
    if verb.minus {
        return field + &" ".repeat(missing);
    }
    if verb.zero && !"svq".contains(letter) {
        let (sign, digits) = field.split_at(usize::from(field.starts_with(['-', '+', ' '])));
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    " ".repeat(missing) + &field
}

fn one(c: &Call<'_>, verb: &Verb, letter: char, arg: &Value) -> Result<String, Failure> {
    let wrong = |expected: &str| Failure::Message(format!("%{letter} needs {expected}, found {}", arg.describe()));
    match letter {
        'v' | 's' => {
            let text = match arg.to_text() {
                Some(text) => text.to_string(),
                None if letter == 'v' => super::encoding::json_text(c, arg)?,
                None => return Err(wrong("text")),
            };
            Ok(verb.precision.map_or_else(|| text.clone(), |most| text.chars().take(most).collect()))
        }
        'q' => Ok(serde_json::Value::from(&*arg.to_text().ok_or_else(|| wrong("text"))?).to_string()),
        't' => Ok(arg.to_bool().ok_or_else(|| wrong("true or false"))?.to_string()),
        'd' | 'b' | 'o' | 'x' | 'X' => {
            let Some(Number::Int(n)) = arg.to_number().map(whole) else { return Err(wrong("a whole number")) };
            let digits = match letter {
                'd' => n.unsigned_abs().to_string(),
                'b' => format!("{:b}", n.unsigned_abs()),
                'o' => format!("{:o}", n.unsigned_abs()),
                'x' => format!("{}{:x}", if verb.hash { "0x" } else { "" }, n.unsigned_abs()),
                _ => format!("{}{:X}", if verb.hash { "0X" } else { "" }, n.unsigned_abs()),
            };
            Ok(sign(verb, n < 0) + &digits)
        }
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let number = arg.to_number().ok_or_else(|| wrong("a number"))?.as_f64();
            Ok(sign(verb, number < 0.0) + &float(letter, verb.precision, number.abs()))
        }
        _ => Err(format!("unknown verb %{letter}: use %s, %d, %f, %v, %q, %t, %x, %o, %b, %e or %g").into()),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the fraction is dropped on purpose, the range is checked by from_f64")]
fn whole(number: Number) -> Number {
    match number {
        Number::Float(f) => Number::from_f64(f.trunc()).unwrap_or(number),
        int => int,
    }
}

fn sign(verb: &Verb, negative: bool) -> String {
    let sign = match negative {
        true => "-",
        false if verb.plus => "+",
        false if verb.space => " ",
        false => "",
    };
    sign.to_owned()
}

/// Rust writes an exponent as `e5`, C and Go as `e+05`.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn float(letter: char, precision: Option<usize>, number: f64) -> String {
    let text = match letter {
        'f' | 'F' => format!("{number:.*}", precision.unwrap_or(6)),
        'e' | 'E' => exponent(&format!("{number:.*e}", precision.unwrap_or(6))),
        _ if number != 0.0 && !(1e-4..1e21).contains(&number) => exponent(&format!("{number:e}")),
        _ => number.to_string(),
    };
    if letter.is_ascii_uppercase() { text.to_uppercase() } else { text }
}
