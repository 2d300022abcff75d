//! Limits that are not settings: name, unit, and the reason for the size.

/// Nodes of the tree of a miner. A node with its counts takes up to 1.5 kB, but 300 bytes as a rule: 6 MB at most.
pub const NODES_MAX: usize = 4_096;

/// Nodes that a miner sends: 0.7 MB at most, which fits into the report of a task.
pub const NODES_SENT_MAX: usize = 512;

/// Different words at the end of names, behind one beginning, before that position becomes variable: such a word stands
/// for a single key.
pub const END_WORDS_MAX: usize = 64;

/// The same for words that are followed by more.
pub const INNER_WORDS_MAX: usize = 256;

/// When a position becomes variable, a word keeps its own namespace if at least one in so many of the keys there has it.
pub const KEPT_ONE_IN: u64 = 64;

/// Parts of a name; the rest of a longer name is one variable part.
pub const PARTS_MAX: usize = 12;

/// Bytes of a name that are looked at; the rest is variable. This bounds the time for a name of a megabyte.
pub const NAME_BYTES_MAX: usize = 512;

/// Bytes of a word; a longer one is variable.
pub const WORD_BYTES_MAX: usize = 64;

/// Bytes of consecutive separators that are kept together.
pub const SEPARATOR_BYTES_MAX: usize = 4;

/// Different runs of separators at one position. More occur in random bytes only; such names have no namespace.
pub const GROUPS_MAX: usize = 64;

/// Variables inside one part.
pub const HOLES_MAX: usize = 4;

/// Example keys per namespace.
pub const SAMPLES_MAX: usize = 2;

/// Bytes of an example that are kept.
pub const SAMPLE_BYTES_MAX: usize = 60;

/// Different magnitudes of TTLs, and of idle times, that are counted per namespace; more make the counts coarser.
pub const MAGNITUDES_MAX: usize = 128;

/// Keys of each namespace whose memory is measured outright, per task: a small namespace is measured completely.
pub const MEASURED_OF_NAMESPACE: u64 = 200;

/// Of all further keys, one in so many is measured,
pub const MEASURED_ONE_IN: u64 = 100;

/// but no more than this many are measured outright in a task over all namespaces, or one in
/// [`MEASURED_OUTRIGHT_ONE_IN`] of its keys if that is more.
pub const MEASURED_OUTRIGHT: u64 = 5_000;

/// See [`MEASURED_OUTRIGHT`]. MEMORY USAGE, TYPE and OBJECT IDLETIME take about as long as three looks at a key.
pub const MEASURED_OUTRIGHT_ONE_IN: u64 = 50;

/// The type and the idle time are looked up of so many first keys of a namespace in a task; of further ones that are
/// measured outright, one in [`DETAILS_ONE_IN`] is.
pub const DETAILS_OF_NAMESPACE: u64 = 200;

/// See [`DETAILS_OF_NAMESPACE`].
pub const DETAILS_ONE_IN: u64 = 20;

/// Different types of a namespace's keys; keys of further types are not counted by type.
pub const TYPES_MAX: usize = 8;

/// Bytes of the name of a type.
pub const TYPE_BYTES_MAX: usize = 24;

/// The largest keys that are listed, of those that were measured. Their names take 5 kB at most in a report.
pub const LARGEST_MAX: usize = 10;

/// Namespaces in a result.
pub const NAMESPACES_MAX: usize = 1_000;
