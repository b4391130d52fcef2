//! The way of a file, from its text to the job.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use floe_model::{Job, wire};
use serde_json::Value as Json;

use crate::{
    Format, ParseErrors, ParseInput, Parsed, api_form,
    budget::Budget,
    convert::{Converter, Syntax},
    data::{Data, Entry, Node, Strings},
    data_body::{self, Reader},
    diagnostic::{At, Diagnostic, Fault, Faults, Sources},
    hcl::{
        self,
        body::Preamble,
        eval::{Context, Env, Unit},
        scope::Scope,
        variables,
    },
    limits::MAX_WARNINGS,
    nix,
    nix_places::Places,
    schema::FILE,
    tree::Body,
    value::Value,
};

/// Parses a job file.
///
/// # Errors
/// All mistakes that can be found at once, each with its place.
pub fn parse(input: &ParseInput<'_>) -> Result<Parsed, ParseErrors> {
    // A byte order mark is no part of the text.
    let input = &ParseInput { source: input.source.strip_prefix('\u{feff}').unwrap_or(input.source), ..input.clone() };
    let budget = Budget::new(input.limits.clone());
    let mut run = Run { input, budget: &budget, faults: Faults::default(), warnings: Faults::default() };
    let mut sources = Sources::default();
    sources.add(input.name, input.source);
    if input.source.len() > input.limits.source_bytes {
        let message = format!("the job file has {} bytes, more than {}, the limit", input.source.len(), input.limits.source_bytes);
        run.faults.push(Fault::fatal(&At::File(0), message));
        return Err(run.faults.report(&sources));
    }
    let outcome = match input.format {
        Format::Hcl2 => run.hcl(&mut sources),
        Format::Json => run.json(&mut sources),
        Format::Nix => run.nix()?,
    };
    run.finish(outcome, &mut sources)
}

struct Run<'i, 'a> {
    input: &'i ParseInput<'a>,
    budget: &'i Budget,
    faults: Faults,
    warnings: Faults,
}

/// A job and the values of its variables.
struct Outcome {
    job: Option<Job>,
    variables: BTreeMap<String, Json>,
}

impl<'i> Run<'i, '_> {
    fn context<'s>(&self, scope: Scope<'s>) -> Context<'s>
    where
        'i: 's,
    {
        Context { budget: self.budget, files: self.input.files, scope, depth: Cell::new(0), warnings: RefCell::default() }
    }

    fn hcl(&mut self, sources: &mut Sources<'i>) -> Outcome {
        let text = self.input.source;
        let Some(file) = self.faults.take(hcl::parse_body(text, 0)) else { return Outcome::none() };
        let unit = Unit { source: 0, text, fixed: None };
        let constants = self.context(Scope::default());
        let preamble = hcl::body::preamble(&constants, &file, unit, &mut self.faults);
        let cx = self.scope(&constants, &preamble, sources);
        let body = hcl::body::file(&cx, &file, unit, &mut self.faults);
        self.job(&cx, &body, Syntax::Hcl)
    }

    fn json(&mut self, sources: &mut Sources<'i>) -> Outcome {
        let Some(data) = self.faults.take(crate::json::parse(self.input.source, 0)) else { return Outcome::none() };
        if let Some(job) = api_form::detect(&data) {
            return self.api_form(&data, job);
        }
        let Node::Map(entries) = &data.node else { return self.no_job(&data) };
        let constants = self.context(Scope::default());
        let (preamble, rest) = data_body::preamble(&constants, entries, &mut self.faults);
        let cx = self.scope(&constants, &preamble, sources);
        let rest: Vec<Entry> = rest.into_iter().cloned().collect();
        let mut reader = Reader { cx: &cx, strings: Strings::Templates, faults: &mut self.faults };
        let body = reader.body(&FILE, &rest, &data.at, &Env::EMPTY);
        self.job(&cx, &body, Syntax::Data)
    }

    fn nix(&mut self) -> Result<Outcome, ParseErrors> {
        let (json, messages) = nix::evaluate(self.input)?;
        for message in messages {
            self.warnings.add(&At::File(0), message);
        }
        let Some(data) = self.faults.take(nix::data(&json)) else { return Ok(Outcome::none()) };
        if let Some(job) = api_form::detect(&data) {
            return Ok(self.api_form(&data, job));
        }
        let Node::Map(entries) = &data.node else { return Ok(self.no_job(&data)) };
        let cx = self.context(Scope::default());
        let mut reader = Reader { cx: &cx, strings: Strings::Verbatim, faults: &mut self.faults };
        let body = reader.body(&FILE, entries, &data.at, &Env::EMPTY);
        Ok(self.job(&cx, &body, Syntax::Data))
    }

    /// The names that the job's expressions see.
    fn scope<'s>(&mut self, constants: &Context<'_>, preamble: &Preamble<'s>, sources: &mut Sources<'i>) -> Context<'s>
    where
        'i: 's,
    {
        let (faults, warnings) = (&mut self.faults, &mut self.warnings);
        let values: BTreeMap<Rc<str>, Option<Value>> =
            variables::resolve(constants, &preamble.declarations, &self.input.variables, sources, faults, warnings);
        let cx = self.context(Scope::new(values, preamble.locals.clone()));
        variables::validate(&cx, &preamble.declarations, &mut self.faults);
        // A local with a mistake is one even where nothing uses it.
        for name in cx.scope.local_names() {
            let value = cx.scope.member(&cx, "local", &name, &At::File(0));
            self.faults.take(value);
        }
        cx
    }

    fn no_job(&mut self, data: &Data) -> Outcome {
        self.faults.add(&data.at, format!("expected a map with the key job, found {}", data.describe()));
        Outcome::none()
    }

    fn api_form(&mut self, whole: &Data, job: &Data) -> Outcome {
        if !self.input.variables.flags.is_empty() {
            self.faults.add(&At::File(0), "a job in the API's form has no variables: remove -var");
        }
        Outcome { job: api_form::decode(whole, job, &mut self.faults), variables: BTreeMap::new() }
    }

    fn job(&mut self, cx: &Context<'_>, body: &Body, syntax: Syntax) -> Outcome {
        for warning in cx.warnings.take() {
            self.warnings.push(Box::new(warning));
        }
        let variables = cx.scope.values().map(|(name, value)| (name.to_owned(), value.to_json())).collect();
        if !self.faults.is_fatal() {
            self.one_job(body);
        }
        let mut out = Converter { syntax, faults: &mut self.faults }.body(&FILE, body);
        let job = match out.remove("Jobs") {
            Some(Json::Array(jobs)) => jobs.into_iter().next(),
            _ => None,
        };
        let job = job.filter(|_| self.faults.is_empty()).and_then(|json| self.decode(json, body));
        Outcome { job, variables }
    }

    fn one_job(&mut self, body: &Body) {
        let mut jobs = body.blocks.iter().filter(|b| &*b.kind == "job");
        match (jobs.next(), jobs.next()) {
            (None, _) if self.faults.is_empty() => {
                self.faults.add(&At::File(0), "the file has no job: write job \"name\" { ... }");
            }
            (Some(_), Some(second)) => {
                self.faults.add(&second.kind_at, "a file holds exactly one job: move this one to a file of its own");
            }
            _ => {}
        }
    }

    /// The tables say what the model takes, so this succeeds; where they are wrong, the error says so.
    fn decode(&mut self, json: Json, body: &Body) -> Option<Job> {
        let at = body.blocks.first().map_or(At::File(0), |job| job.kind_at.clone());
        let decoded = wire::from_value::<Job>(json).map_err(|error| Fault::new(&at, error.to_string()));
        let decoded = self.faults.take(decoded)?;
        for key in decoded.unknown {
            self.faults.add(&at, format!("the job model does not know {key}"));
        }
        Some(decoded.value)
    }

    fn finish(mut self, outcome: Outcome, sources: &mut Sources<'_>) -> Result<Parsed, ParseErrors> {
        if self.input.format == Format::Nix && !self.faults.is_empty() {
            sources.place_paths(Places::of(self.input.source));
        }
        if self.faults.is_empty() && outcome.job.is_none() {
            self.faults.add(&At::File(0), "the file has no job");
        }
        match outcome.job {
            Some(job) if self.faults.is_empty() => {
                let mut warnings: Vec<Diagnostic> = self.warnings.report(sources).errors;
                warnings.truncate(MAX_WARNINGS);
                Ok(Parsed { job, format: self.input.format, variables: outcome.variables, warnings })
            }
            _ => Err(self.faults.report(sources)),
        }
    }
}

impl Outcome {
    fn none() -> Self {
        Self { job: None, variables: BTreeMap::new() }
    }
}
