//! The shapes of values: of which items each type of value consists, so that it can be skipped, and where its number of
//! elements stands. Sources: `rdbLoadObject` of Redis 7.0, 7.4 and 8.0, Valkey 9.0, and librdb 2.3 for what Redis 8.6 and
//! 8.8 added.

use crate::kind::Kind;
use crate::origin::Format;
use crate::packed::Packing;

/// Items that follow each other.
pub(crate) type Shape = &'static [Item];

/// A part of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    /// So many bytes.
    Bytes(u64),
    /// A number in the form of a length.
    Number,
    /// A string.
    Text,
    /// A string that holds elements.
    Packed(Packing),
    /// A score as text, as files before version 8 have it.
    Score,
    /// So many times the shape.
    Times(u64, Shape),
    /// A number, and as often the shape.
    Each(Shape),
    /// The same; the number is that of the elements.
    EachElement(Shape),
    /// The number of elements.
    Elements,
    /// As often as there are elements, the shape.
    PerElement(Shape),
    /// One element more.
    OneElement,
    /// A number that says which shape follows.
    Choice(&'static [(u64, Shape)]),
    /// The id of a module's type.
    ModuleId,
    /// What a module has written, up to its end mark.
    ModuleParts,
    /// When a field expires.
    Expiry(Moment),
    /// Fields with their values and expiry times, packed into a string: a listpack, those that expire first.
    PackedFields,
}

/// The forms in which it is said whether a field expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Eight bytes, -1 for never.
    Signed,
    /// A number in the form of a length, 0 for never.
    Number,
}

use Item::{
    Bytes, Choice, Each, EachElement, Elements, Expiry, ModuleId, ModuleParts, Number, OneElement, Packed,
    PackedFields, PerElement, Score, Text, Times,
};

/// Milliseconds since 1970, and the halves of a stream's id.
const TIME: Item = Bytes(8);
const RAW_ID: Item = Bytes(16);

/// Entries that consumers have not acknowledged: of a group with when and how often they were delivered, of a consumer
/// their ids only.
const GROUP_PENDING: Item = Each(&[RAW_ID, TIME, Number]);
const CONSUMER_PENDING: Item = Each(&[RAW_ID]);

/// Blocks of entries.
const STREAM_BLOCKS: Item = Each(&[Text, Text]);

/// The last id.
const LAST_ID: Item = Times(2, &[Number]);

/// The last id, the first, the highest deleted one, and how many entries there ever were.
const HISTORY: Item = Times(7, &[Number]);

const GROUPS_1: Item = Each(&[Text, Number, Number, GROUP_PENDING, Each(&[Text, TIME, CONSUMER_PENDING])]);
/// With how many entries the group has read.
const GROUPS_2: Item =
    Each(&[Text, Number, Number, Number, GROUP_PENDING, Each(&[Text, TIME, CONSUMER_PENDING])]);
/// With when a consumer was last active.
const CONSUMERS_3: Item = Each(&[Text, TIME, TIME, CONSUMER_PENDING]);
const GROUPS_3: Item = Each(&[Text, Number, Number, Number, GROUP_PENDING, CONSUMERS_3]);
/// With entries that were given back.
const GROUPS_5: Item = Each(&[Text, Number, Number, Number, GROUP_PENDING, CONSUMERS_3, Each(&[RAW_ID])]);

/// By what repeated additions of producers are known: their recent additions.
const PRODUCERS: Item = Each(&[Text, Each(&[Text, Number, Number])]);

/// Two limits, and two counters.
const LIMITS: Item = Times(2, &[Number]);

const STREAM_1: Shape = &[STREAM_BLOCKS, Elements, LAST_ID, GROUPS_1];
const STREAM_2: Shape = &[STREAM_BLOCKS, Elements, HISTORY, GROUPS_2];
const STREAM_3: Shape = &[STREAM_BLOCKS, Elements, HISTORY, GROUPS_3];
const STREAM_4: Shape = &[STREAM_BLOCKS, Elements, HISTORY, GROUPS_3, LIMITS, PRODUCERS, LIMITS];
const STREAM_5: Shape = &[STREAM_BLOCKS, Elements, HISTORY, GROUPS_5, LIMITS, PRODUCERS, LIMITS];

/// The node of a list: one large element, or some packed ones.
const LIST_NODE: Item =
    Choice(&[(1, &[OneElement, Text]), (2, &[Packed(Packing::Listpack { strings_per_element: 1 })])]);

/// The elements of an array with their places: strings, numbers, or short strings.
const ARRAY_ELEMENT: Shape =
    &[Number, Choice(&[(0, &[Text]), (1, &[Bytes(8)]), (2, &[Bytes(8)]), (3, &[Text])])];

/// The type and the shape of the value with this number; `None` if it is not known.
pub(crate) fn of_value(number: u8, format: Format) -> Option<(Kind, Shape)> {
    Some(match number {
        0 => (Kind::String, &[Text]),
        1 => (Kind::List, &[EachElement(&[Text])]),
        2 => (Kind::Set, &[EachElement(&[Text])]),
        3 => (Kind::Zset, &[EachElement(&[Text, Score])]),
        4 => (Kind::Hash, &[EachElement(&[Text, Text])]),
        5 => (Kind::Zset, &[EachElement(&[Text, Bytes(8)])]),
        // Its type is known when its id is.
        7 => (Kind::String, &[ModuleId, ModuleParts]),
        9 => (Kind::Hash, &[Packed(Packing::Zipmap)]),
        10 => (Kind::List, &[Packed(Packing::Ziplist { strings_per_element: 1 })]),
        11 => (Kind::Set, &[Packed(Packing::Intset)]),
        12 => (Kind::Zset, &[Packed(Packing::Ziplist { strings_per_element: 2 })]),
        13 => (Kind::Hash, &[Packed(Packing::Ziplist { strings_per_element: 2 })]),
        14 => (Kind::List, &[Each(&[Packed(Packing::Ziplist { strings_per_element: 1 })])]),
        15 => (Kind::Stream, STREAM_1),
        16 => (Kind::Hash, &[Packed(Packing::Listpack { strings_per_element: 2 })]),
        17 => (Kind::Zset, &[Packed(Packing::Listpack { strings_per_element: 2 })]),
        18 => (Kind::List, &[Each(&[LIST_NODE])]),
        19 => (Kind::Stream, STREAM_2),
        20 => (Kind::Set, &[Packed(Packing::Listpack { strings_per_element: 1 })]),
        21 => (Kind::Stream, STREAM_3),
        22 if format == Format::Valkey => (Kind::Hash, &[EachElement(&[Text, Text, Expiry(Moment::Signed)])]),
        22 => (Kind::Hash, &[EachElement(&[Expiry(Moment::Number), Text, Text])]),
        _ if format == Format::Valkey => return None,
        23 => (Kind::Hash, &[PackedFields]),
        // From here on with the earliest expiry time, which servers do not set back when a field is made to last.
        24 => (Kind::Hash, &[TIME, EachElement(&[Expiry(Moment::Number), Text, Text])]),
        25 => (Kind::Hash, &[TIME, PackedFields]),
        26 => (Kind::Stream, STREAM_4),
        27 => (Kind::Stream, STREAM_5),
        28 => (Kind::Array, &[Elements, Choice(&[(0, &[]), (1, &[Number])]), PerElement(ARRAY_ELEMENT)]),
        _ => return None,
    })
}

/// A library of functions.
pub(crate) const FUNCTION: Shape = &[Text];

/// What a module has saved beside the keys: its id, when it did so with a mark before, and its parts.
pub(crate) const MODULE_AUX: Shape = &[Number, Number, Number, ModuleParts];

/// What modules have saved of the key that follows.
pub(crate) const KEY_METADATA: Shape = &[Each(&[Bytes(4), ModuleParts])];

/// A migration of slots that has not ended.
pub(crate) const SLOT_IMPORT: Shape = &[Text, Each(&[Number, Number])];
