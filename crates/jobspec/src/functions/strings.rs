//! Functions on text.

use super::{Call, Done, Failure, Function, function, int};
use crate::limits::MAX_REGEX_BYTES;

pub(super) const FUNCTIONS: &[Function] = &[
    function("chomp", 1, 1, |c| c.make_text(c.text(0)?.trim_end_matches(['\n', '\r']))),
    function("indent", 2, 2, indent),
    function("join", 2, super::ANY, join),
    function("lower", 1, 1, |c| c.make_text(c.text(0)?.to_lowercase())),
    function("regex_replace", 3, 3, regex_replace),
    function("replace", 3, 3, replace),
    function("split", 2, 2, split),
    function("strlen", 1, 1, |c| Ok(int(c.text(0)?.chars().count()))),
    function("strrev", 1, 1, |c| c.make_text(c.text(0)?.chars().rev().collect::<String>())),
    function("substr", 3, 3, substr),
    function("title", 1, 1, title),
    function("trim", 2, 2, |c| {
        let cut = c.text(1)?;
        c.make_text(c.text(0)?.trim_matches(|x| cut.contains(x)))
    }),
    function("trimprefix", 2, 2, |c| {
        let text = c.text(0)?;
        c.make_text(text.strip_prefix(&*c.text(1)?).unwrap_or(&text))
    }),
    function("trimspace", 1, 1, |c| c.make_text(c.text(0)?.trim())),
    function("trimsuffix", 2, 2, |c| {
        let text = c.text(0)?;
        c.make_text(text.strip_suffix(&*c.text(1)?).unwrap_or(&text))
    }),
    function("upper", 1, 1, |c| c.make_text(c.text(0)?.to_uppercase())),
];

fn indent(c: &Call<'_>) -> Done {
    let (count, text) = (c.count(0)?, c.text(1)?);
    let lines = text.matches('\n').count();
    c.room(count.saturating_mul(lines).saturating_add(text.len()))?;
    c.make_text(text.replace('\n', &format!("\n{}", " ".repeat(if lines == 0 { 0 } else { count }))))
}

fn join(c: &Call<'_>) -> Done {
    let separator = c.text(0)?;
    let mut parts = Vec::new();
    for i in 1..c.len() {
        parts.extend(c.texts(i)?);
    }
    let bytes = parts.iter().map(|part| part.len() + separator.len()).sum();
    c.room(bytes)?;
    c.make_text(parts.join(&*separator))
}

fn replace(c: &Call<'_>) -> Done {
    let (text, from, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    let hits = if from.is_empty() { text.len() + 1 } else { text.matches(&*from).count() };
    c.room(hits.saturating_mul(to.len()).saturating_add(text.len()))?;
    c.make_text(text.replace(&*from, &to))
}

fn regex_replace(c: &Call<'_>) -> Done {
    let (text, pattern, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    let regex = compile(c, &pattern)?;
    let mut out = String::new();
    let mut last = 0;
    for found in regex.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(text.get(last..whole.start()).unwrap_or(""));
        found.expand(&to, &mut out);
        last = whole.end();
        c.budget.work(1 + to.len() / 64)?;
        if out.len() > c.budget.limits().value_bytes {
            c.room(out.len())?;
        }
    }
    out.push_str(text.get(last..).unwrap_or(""));
    c.make_text(out)
}

fn compile(c: &Call<'_>, pattern: &str) -> Result<regex::Regex, Failure> {
    if pattern.len() > MAX_REGEX_BYTES {
        return Err(format!("the pattern has more than {MAX_REGEX_BYTES} bytes, the limit").into());
    }
    // Compiling may cost far more than the pattern is long, and so is paid for.
    c.budget.work(25_000)?;
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|e| Failure::Message(format!("invalid pattern: {}", e.to_string().lines().last().unwrap_or_default())))
}

fn split(c: &Call<'_>) -> Done {
    let (separator, text) = (c.text(0)?, c.text(1)?);
    if separator.is_empty() {
        return c.make_texts(text.chars().map(|x| x.to_string()));
    }
    c.make_texts(text.split(&*separator))
}

fn substr(c: &Call<'_>) -> Done {
    let text = c.text(0)?;
    let (offset, length) = (c.int(1)?, c.int(2)?);
    let count = text.chars().count();
    let back = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let start = if offset < 0 { count.saturating_sub(back) } else { back.min(count) };
    let taken = usize::try_from(length).unwrap_or(usize::MAX);
    c.make_text(text.chars().skip(start).take(taken).collect::<String>())
}

fn title(c: &Call<'_>) -> Done {
    let mut out = String::new();
    let mut begins = true;
    for x in c.text(0)?.chars() {
        if begins {
            out.extend(x.to_uppercase());
        } else {
            out.push(x);
        }
        begins = !x.is_alphanumeric() && x != '_' && x != '\'';
    }
    c.make_text(out)
}
