//! `import` and the other uses of files.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Evaluator, NOWHERE};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::files::{FilesError, NixPath};
use crate::heap::EMPTY;
use crate::limits::MAX_SOURCE_BYTES;
use crate::syntax::{self, ExprId, Unit};
use crate::value::{ThunkId, Value};

/// The file that `import` takes for a folder.
const FOLDER_FILE: &str = "default.nix";
/// The name that errors give to the embedded library.
const LIBRARY_NAME: &str = "<floe lib>";

/// Memory that expressions take for each byte of their source, generously.
const PARSED_BYTES_PER_BYTE: u64 = 32;

/// Which files have been read, and which are being evaluated right now.
#[derive(Default)]
pub(crate) struct Imports {
    values: BTreeMap<NixPath, Value>,
    active: Vec<NixPath>,
    /// Every file read, in order, without the first.
    pub(crate) read: Vec<NixPath>,
    library: Option<ThunkId>,
}

impl Evaluator<'_> {
    /// Evaluates the first file.
    pub(crate) fn evaluate_root(&mut self, path: &NixPath, source: &str) -> Fallible<(Value, ExprId)> {
        let root = self.parse(path.to_string(), source, path.parent())?;
        self.root = Some(self.span(root));
        let value = self.evaluate_file(path, root)?;
        Ok((value, root))
    }

    fn parse(&mut self, name: String, source: &str, folder: NixPath) -> Fallible<ExprId> {
        self.charge(source.len() as u64 * PARSED_BYTES_PER_BYTE, NOWHERE)?;
        let file = self.program.add_source(name, source.into());
        let mut program = std::mem::take(&mut self.program);
        let unit = Unit { file, text: source, folder };
        let parsed = syntax::parse(&mut program, &unit, &|name| self.global(name), self.limits);
        self.program = program;
        parsed
    }

    fn evaluate_file(&mut self, path: &NixPath, root: ExprId) -> Fallible<Value> {
        self.imports.active.push(path.clone());
        let value = self.eval(root, EMPTY);
        self.imports.active.pop();
        if let Ok(value) = &value {
            self.imports.values.insert(path.clone(), value.clone());
        }
        value
    }

    /// The value of the file at `path`, or of its `default.nix`; evaluated once.
    pub(crate) fn import(&mut self, path: &NixPath, site: ExprId) -> Fallible<Value> {
        if let Some(value) = self.imports.values.get(path) {
            return Ok(value.clone());
        }
        self.refuse_cycle(path, site)?;
        let (path, text) = match self.read(path, site) {
            Err(Unread::Folder) => {
                let inside = path.join(FOLDER_FILE).map_err(|error| self.bad_path(site, &error))?;
                if let Some(value) = self.imports.values.get(&inside) {
                    return Ok(value.clone());
                }
                self.refuse_cycle(&inside, site)?;
                let text = self.read(&inside, site).map_err(|unread| self.unread(unread, &inside, site))?;
                (inside, text)
            }
            Err(unread) => return Err(self.unread(unread, path, site)),
            Ok(text) => (path.clone(), text),
        };
        let imported = self.parse(path.to_string(), &text, path.parent());
        let value = imported.and_then(|root| self.evaluate_file(&path, root));
        value.map_err(|failure| failure.within(self.span(site), || format!("while importing '{path}'")))
    }

    fn refuse_cycle(&self, path: &NixPath, site: ExprId) -> Fallible<()> {
        let Some(start) = self.imports.active.iter().position(|active| active == path) else {
            return Ok(());
        };
        let cycle: Vec<String> = self.imports.active.iter().skip(start).map(NixPath::to_string).collect();
        Err(self.error(site, format!("import cycle: {} -> {path}", cycle.join(" -> "))))
    }

    /// The text of a file, for `builtins.readFile`.
    pub(crate) fn read_text(&mut self, path: &NixPath, site: ExprId) -> Fallible<Rc<str>> {
        let text = self.read(path, site).map_err(|unread| self.unread(unread, path, site))?;
        self.charge_string(text.len(), site)?;
        Ok(text.into())
    }

    fn read(&mut self, path: &NixPath, site: ExprId) -> Result<String, Unread> {
        if self.imports.read.len() >= self.limits.files {
            let most = self.limits.files;
            return Err(Unread::Failure(self.limit(site, format!("more than {most} files are read (limit files)"))));
        }
        self.burn_bulk(self.limits.source_bytes.min(MAX_SOURCE_BYTES) / 64, site).map_err(Unread::Failure)?;
        let text = self.files.read(path, self.limits.source_bytes).map_err(|error| match error {
            FilesError::IsFolder => Unread::Folder,
            other => Unread::Files(other),
        })?;
        if text.len() > self.limits.source_bytes {
            return Err(Unread::Files(FilesError::TooLarge(self.limits.source_bytes)));
        }
        self.charge(text.len() as u64, site).map_err(Unread::Failure)?;
        self.imports.read.push(path.clone());
        Ok(text)
    }

    fn unread(&self, unread: Unread, path: &NixPath, site: ExprId) -> Box<Failure> {
        let error = match unread {
            Unread::Failure(failure) => return failure,
            Unread::Folder => FilesError::IsFolder,
            Unread::Files(error) => error,
        };
        let kind = if matches!(error, FilesError::TooLarge(_)) { ErrorKind::Limit } else { ErrorKind::File };
        Failure::new(kind, self.span(site), format!("cannot read '{path}': {error}"))
    }

    /// The library that a file gets as its argument `lib`, parsed when first needed.
    pub(crate) fn library(&mut self, site: ExprId) -> Fallible<ThunkId> {
        if let Some(library) = self.imports.library {
            return Ok(library);
        }
        let root = self.parse(LIBRARY_NAME.into(), crate::builtins::LIBRARY_SOURCE, NixPath::folder())?;
        let function = self.eval(root, EMPTY)?;
        let primitives = crate::builtins::library_primitives(self, site)?;
        let primitives = self.done(primitives, site)?;
        let library = self.call(function, primitives, site)?;
        let library = self.done(library, site)?;
        self.imports.library = Some(library);
        Ok(library)
    }
}

/// Why a file could not be read.
enum Unread {
    Folder,
    Files(FilesError),
    Failure(Box<Failure>),
}
