//! What a registry wants to see before it answers: the header `WWW-Authenticate`.

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from another service.
    Bearer {
        /// Its address.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
    },
    /// Name and password.
    Basic,
}

/// Reads the challenges of one header; a token is preferred to a password. Parameters may be quoted and hold commas.
pub(crate) fn parse(header: &str) -> Option<Challenge> {
    let (mut realm, mut service, mut scheme, mut basic) = (None, None, String::new(), false);
    for (name, value) in pairs(header) {
        let name = match name.rsplit_once(' ') {
            Some((word, name)) => {
                word.trim().clone_into(&mut scheme);
                name
            }
            None => name.as_str(),
        };
        basic |= scheme.eq_ignore_ascii_case("basic");
        if scheme.eq_ignore_ascii_case("bearer") {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
    }
    basic |= header.trim().eq_ignore_ascii_case("basic");
    realm.map(|realm| Challenge::Bearer { realm, service }).or(basic.then_some(Challenge::Basic))
}

/// The parts `name=value`, where the first name of a challenge has its scheme before it.
fn pairs(header: &str) -> Vec<(String, String)> {
    let (mut found, mut name, mut value) = (Vec::new(), String::new(), String::new());
    let (mut in_value, mut quoted, mut escaped) = (false, false, false);
    for c in header.chars() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' if in_value => quoted = !quoted,
            ',' if !quoted => {
                found.push((name.trim().to_owned(), std::mem::take(&mut value)));
                name.clear();
                in_value = false;
            }
            '=' if !in_value => in_value = true,
            c if in_value => value.push(c),
            c => name.push(c),
        }
    }
    found.push((name.trim().to_owned(), value));
    found.retain(|(name, _)| !name.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_as_registries_write_them() {
        let bearer =
            |realm: &str, service: Option<&str>| Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) });
        let scoped = r#"Bearer realm="https://auth.x/token",service="reg, x",scope="repository:a/b:pull,push""#;
        assert_eq!(parse(scoped), bearer("https://auth.x/token", Some("reg, x")));
        assert_eq!(parse("bearer Realm=https://a/b"), bearer("https://a/b", None));
        assert_eq!(parse(r#"Basic realm="r", Bearer realm="https://t""#), bearer("https://t", None));
        assert_eq!(parse(r#"Basic realm="x=1, y""#), Some(Challenge::Basic));
        assert_eq!(parse("Basic"), Some(Challenge::Basic));
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse(""), None);
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(header in "\\PC{0,80}") {
            let _ = parse(&header);
        }
    }
}
