//! One call: signed anew for each try, tried again when what went wrong may pass, and told in words when it does not.

use crate::{
    error::{Reason, S3Error},
    sign::Call,
    store::Store,
    transport::Answer,
    xml,
};
use std::time::{Duration, SystemTime};

/// The longest pause between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// How far clocks may be apart before that is told as the reason. Stores refuse more than 15 minutes.
const SKEW_SECONDS: i64 = 300;
/// The most characters of a store's message that are shown.
const MAX_MESSAGE_CHARS: usize = 300;

impl Store {
    /// Makes a call until it succeeds, is refused for good, or was tried often enough.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, S3Error> {
        let tuning = self.config.tuning;
        let mut pause = tuning.backoff;
        let mut tries = 1;
        loop {
            let reason = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(reason) => reason,
            };
            if tries >= tuning.tries || !reason.is_passing() {
                return Err(self.failed(call.action, call.key, reason));
            }
            tracing::debug!(action = call.action, bucket = %self.config.bucket, %reason, tries, "a call to the store is tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_BACKOFF);
            tries += 1;
        }
    }

    /// One try.
    pub(crate) async fn once(&self, call: &Call<'_>) -> Result<Answer, Reason> {
        let request = call.request(&self.config, &self.keys, SystemTime::now())?;
        let answer = self.transport.send(request, self.config.tuning.deadline_for(call.body.len())).await?;
        // A store may begin to answer before it knows how it ends, and say in the body that it failed after all.
        match answer.status {
            200..=299 if xml::error(&answer.body).is_none() => Ok(answer),
            _ => Err(self.refused(&answer)),
        }
    }

    /// An error with the object, bucket and endpoint that it is about.
    pub(crate) fn failed(&self, action: &'static str, key: &str, reason: Reason) -> S3Error {
        let config = &self.config;
        let key = if key.is_empty() { String::new() } else { format!("{key} in ") };
        S3Error::Call { action, place: format!("{key}bucket {} at {}", config.bucket, config.endpoint), reason }
    }

    fn refused(&self, answer: &Answer) -> Reason {
        let (code, message) = xml::error(&answer.body).unwrap_or_default();
        let code = if code.is_empty() { default_code(answer.status).to_owned() } else { self.shown(&code) };
        // An error in the body of an answer that began well.
        let status = if answer.status < 300 { 500 } else { answer.status };
        let advice = self.advice(&code, answer);
        Reason::Refused { status, message: self.shown(&message), code, advice }
    }

    /// What a store says, without what controls a terminal, and without keys.
    fn shown(&self, text: &str) -> String {
        let keys = [Some(self.keys.secret_access_key()), self.keys.session_token(), Some(self.keys.access_key_id())];
        let text = keys.into_iter().flatten().fold(text.to_owned(), |text, key| text.replace(key, "***"));
        text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect()
    }

    /// What to do about it.
    fn advice(&self, code: &str, answer: &Answer) -> String {
        if let Some(apart) = apart(answer.header("date")).filter(|apart| apart.abs() > SKEW_SECONDS || code == "RequestTimeTooSkewed") {
            let which = if apart > 0 { "ahead of" } else { "behind" };
            return format!("; this machine's clock is {} s {which} the store's: set it right (timedatectl)", apart.abs());
        }
        let region = answer.header("x-amz-bucket-region");
        match (code, answer.status) {
            (_, 301 | 307) | ("AuthorizationHeaderMalformed", _) if !region.is_empty() => {
                format!("; the bucket is in region {region}: mend s3_region")
            }
            (_, 301 | 307) => "; the bucket is elsewhere: mend s3_endpoint or s3_region".to_owned(),
            ("AuthorizationHeaderMalformed", _) => "; mend s3_region".to_owned(),
            ("NoSuchBucket", _) => "; make the bucket, or mend s3_bucket".to_owned(),
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch", _) => "; look at the files of the keys".to_owned(),
            (_, 401 | 403) => "; let the key list, read, write and delete in this bucket".to_owned(),
            _ => String::new(),
        }
    }
}

/// Answers to HEAD have no body that says why.
fn default_code(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDenied",
        404 => "NotFound",
        _ => "without a code",
    }
}

/// How many seconds this machine's clock is ahead of what the header `Date` says.
fn apart(date: &str) -> Option<i64> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(now).ok()? - date.as_second())
}
