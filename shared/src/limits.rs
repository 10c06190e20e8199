//! Every limit of the API, with its unit last in the name. The messages of refusals name them.

/// Bytes of the findings that an entry carries beside its content.
pub const FINDINGS_BYTES_MAX: usize = 16 * 1024;
/// Observations a report may carry.
pub const REPORT_OBSERVATIONS_MAX: usize = 500;
/// Encoded bytes of one entry of the log without its findings, and so of one report, unit, indicator or term.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Units, or terms, in one request.
pub const REQUEST_UNITS_MAX: usize = 10_000;
/// Units that an event names on one side.
pub const EVENT_UNITS_MAX: usize = 1_000;
/// Units of a group.
pub const GROUP_UNITS_MAX: usize = 1_000;
/// Indicators that a form asks for, or that a balance is made of.
pub const FORM_INDICATORS_MAX: usize = 500;
/// Exceptions of an indicator.
pub const EXCEPTIONS_MAX: usize = 100;
/// Units that the events of one request name, each counted as often as it is named.
pub const REQUEST_NAMED_UNITS_MAX: usize = 50_000;
/// Events that happen to one unit.
pub const UNIT_EVENTS_MAX: usize = 1_000;
/// Paths of succession in one answer, over all its pages.
pub const SUCCESSION_PATHS_MAX: usize = 10_000;
/// Periods, or days on which terms end, that one question about duties is about.
pub const DUTY_PERIODS_MAX: usize = 120;
/// Indicators in one request.
pub const REQUEST_INDICATORS_MAX: usize = 1_000;
/// Unit ids that a selector may name.
pub const SELECTOR_IDS_MAX: usize = 1_000;
/// Conditions on units in one question.
pub const FILTERS_MAX: usize = 10;
/// Values of one condition.
pub const FILTER_VALUES_MAX: usize = 100;
/// Periods of a series.
pub const SERIES_PERIODS_MAX: usize = 1_000;
/// Cells, units × periods, that one question looks at.
pub const QUESTION_CELLS_MAX: usize = 2_000_000;
/// Bytes of a citation or a resume token.
pub const TOKEN_BYTES_MAX: usize = 256 * 1024;
/// Revisions that a resume token may be behind.
pub const RESUME_REVISIONS_MAX: u64 = 1_000_000;
/// Rows of an answer.
pub const ANSWER_ROWS_MAX: usize = 1_000;
/// Rows of a page where the caller does not say.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Rows of a page at most.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Characters of an id, a code or a label.
pub const ID_CHARS_MAX: usize = 64;
/// Characters of a name, a kind, an attribute's value or a locator.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters of a note or a title.
pub const NOTE_CHARS_MAX: usize = 500;
/// Characters of a URI.
pub const URI_CHARS_MAX: usize = 2_000;
/// Attributes of a unit.
pub const ATTRIBUTES_MAX: usize = 32;
/// Names of an indicator.
pub const NAMES_MAX: usize = 32;
/// Dimensions of an indicator.
pub const DIMENSIONS_MAX: usize = 8;
/// Codes of a dimension.
pub const CODES_MAX: usize = 200;
/// Digits of a decimal number.
pub const DECIMAL_DIGITS_MAX: usize = 28;
/// Bytes of a request or an answer.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages and texts that one request may be made of, at all depths.
pub const MESSAGE_PARTS_MAX: usize = 100_000;
/// Bytes in memory that a part of a message is counted for.
pub const PART_BYTES: usize = 512;
/// Bytes in memory from which on a message counts as large.
pub const LARGE_MESSAGE_BYTES_MIN: usize = 64 * 1024;
/// Bytes in memory of all large messages that are worked on at once.
pub const LARGE_MESSAGES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Open calls of health checks, reflection and followers.
pub const VITAL_CALLS_MAX: usize = 1_024;
/// Bytes of the headers of a request.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Open calls on one connection.
pub const CONNECTION_CALLS_MAX: u32 = 100;
/// Bytes of the violations in an error; further ones are counted only.
pub const VIOLATION_BYTES_MAX: usize = 4 * 1024;
/// Violations that are kept of one request; further ones are counted only.
pub const VIOLATIONS_KEPT_MAX: usize = 500;
/// Bytes of the message of an error, as it is encoded in a header.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1024;
/// Bytes of the rows of a page; a page ends earlier than its rows where they are large.
pub const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Digits of a stated percentage.
pub const STATED_PERCENT_DIGITS_MAX: usize = 12;
/// Request ids that are remembered at least.
pub const REQUESTS_REMEMBERED_MIN: usize = 1_000_000;
