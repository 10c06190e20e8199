//! Why something is refused: one fault with every violation found. How a reason becomes a status is `status`'s matter.

use std::fmt;

/// The machine-readable reason of a refusal; the same names stand in `google.rpc.ErrorInfo.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is its name in `status::Reason::name`, whose page is the README")]
pub enum Reason {
    // What is submitted or asked is at fault.
    RequiredFieldMissing,
    ConflictingFields,
    InvalidId,
    InvalidText,
    InvalidDate,
    InvalidPeriod,
    InvalidDecimal,
    InvalidUuid,
    InvalidNumber,
    InvalidCurrency,
    InvalidEnumValue,
    InvalidDefinition,
    InvalidPageToken,
    TooMany,
    TooLarge,
    DuplicateId,
    DuplicateObservation,
    UnknownUnit,
    UnknownParent,
    UnknownIndicator,
    UnknownDimension,
    UnknownCode,
    UnknownTerm,
    UnknownGroup,
    UnitNotAlive,
    SecondRoot,
    HierarchyCycle,
    LevelNotBelowParent,
    WrongValueKind,
    NumeratorAboveDenominator,
    ZeroDenominator,
    PercentOutOfRange,
    QualifierNotAllowed,
    MeasureNotAllowed,
    SeveralViolations,
    // What the call names is not there.
    UnitNotFound,
    IndicatorNotFound,
    ReportNotFound,
    // What is there already.
    ExistsWithDifferentContent,
    KeyReusedDifferentContent,
    ReportIdentityTaken,
    RevisionConflict,
    // The follower and the log do not fit.
    StoreMismatch,
    HistoryTruncated,
    HistoryDiverged,
    FutureRevision,
    // The service cannot answer now, or at all.
    CatchingUp,
    NotYetVisible,
    ShuttingDown,
    SlowConsumer,
    Overloaded,
    StorageFailed,
    DataCorrupt,
    DeadlineExceeded,
    Internal,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, such as `report.observations[2].ratio.denominator`.
    pub path: String,
    /// What is wrong with it.
    pub reason: Reason,
    /// The same for a person, with what to do.
    pub message: String,
}

/// A refusal. Nothing was written, unless the reason says that this is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// The same for a person.
    pub message: String,
    /// Each single violation; empty where the fault is not about fields.
    pub violations: Vec<Violation>,
    /// Facts for a program, such as the current revision.
    pub metadata: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault that is not about fields.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), violations: Vec::new(), metadata: Vec::new() }
    }

    /// Adds a fact for a program.
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Collects violations, so that a caller hears of all of them at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes one.
    pub fn add(&mut self, path: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.0.push(Violation { path: path.into(), reason, message: message.into() });
    }

    /// Whether none was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were noted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing if none was noted, else the fault with all of them. Its reason is theirs where they agree.
    pub fn into_result(self) -> Result<(), Fault> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let reason =
            if self.0.iter().all(|v| v.reason == first.reason) { first.reason } else { Reason::SeveralViolations };
        let message = match self.0.len() {
            1 => format!("{}: {}", first.path, first.message),
            count => format!("{count} violations, the first at {}: {}", first.path, first.message),
        };
        Err(Fault { reason, message, violations: self.0, metadata: Vec::new() })
    }

    /// The value if no violation was noted and there is one, else the fault.
    ///
    /// # Panics
    /// If there is neither a value nor a violation: a check returned nothing and did not say why.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Fault> {
        self.into_result()?;
        Ok(value.expect("a check that yields nothing notes a violation"))
    }
}
