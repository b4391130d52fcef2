//! What was called and answered, in the order in which that happened.

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who called.
    pub client: u64,
    /// What was asked.
    pub input: I,
    /// When it was called, as a place in the order of all events.
    pub called: u64,
    /// What came back, and when. Without it the operation may have happened at any time since, or not at all.
    pub answer: Answer<O>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<O> {
    /// Nobody knows.
    Unknown,
    /// With this.
    Is {
        /// When it came, as a place in the order of all events.
        at: u64,
        /// What it was.
        output: O,
    },
}

impl<I, O> Operation<I, O> {
    /// What came back.
    pub fn output(&self) -> Option<&O> {
        match &self.answer {
            Answer::Unknown => None,
            Answer::Is { output, .. } => Some(output),
        }
    }
}

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "say how it ended; what is only dropped counts as unknown"]
pub struct Call(usize);

/// What clients did. The order of events is the order of the calls to this: tell of a call before it leaves, and of an answer after it came.
#[derive(Clone, Debug)]
pub struct History<I, O> {
    now: u64,
    operations: Vec<Option<Operation<I, O>>>,
}

impl<I, O> Default for History<I, O> {
    fn default() -> Self {
        Self { now: 0, operations: Vec::new() }
    }
}

impl<I, O> History<I, O> {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// A client is about to ask for something.
    pub fn call(&mut self, client: u64, input: I) -> Call {
        let called = self.tick();
        self.operations.push(Some(Operation { client, input, called, answer: Answer::Unknown }));
        Call(self.operations.len() - 1)
    }

    /// The answer came.
    pub fn answer(&mut self, call: Call, output: O) {
        let at = self.tick();
        if let Some(Some(operation)) = self.operations.get_mut(call.0) {
            operation.answer = Answer::Is { at, output };
        }
    }

    /// It certainly did not happen, and never will: the call is forgotten.
    pub fn refuse(&mut self, call: Call) {
        if let Some(operation) = self.operations.get_mut(call.0) {
            *operation = None;
        }
    }

    /// What happened, in the order of the calls.
    pub fn operations(&self) -> Vec<&Operation<I, O>> {
        self.operations.iter().flatten().collect()
    }

    /// How many operations were answered.
    pub fn answered(&self) -> usize {
        self.operations.iter().flatten().filter(|o| o.output().is_some()).count()
    }
}
