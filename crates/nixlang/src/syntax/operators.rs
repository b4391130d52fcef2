//! What the parser knows of single tokens: which are operators and how tightly
//! they bind, which begin an operand, and what errors call them.

use rnix::SyntaxKind as Kind;

use super::ast::BinaryOp;

/// An operator between two operands.
pub(super) struct Infix {
    /// None for `?`, whose right side is a path, and for the pipes.
    pub(super) op: Option<BinaryOp>,
    /// Higher binds tighter.
    pub(super) level: u8,
    associates: Associates,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Associates {
    Left,
    Right,
    /// `a < b < c` is an error.
    Not,
}

impl Infix {
    /// What the right operand may at least consist of.
    pub(super) fn right_level(&self) -> u8 {
        self.level + u8::from(self.associates != Associates::Right)
    }

    pub(super) fn is_single(&self) -> bool {
        self.associates == Associates::Not
    }
}

/// The level of the pipes: everything binds tighter.
pub(super) const LOOSEST: u8 = 0;
/// The level of `!`, which binds looser than arithmetic.
pub(super) const NOT: u8 = 7;
/// The level of the sign, which only calls and selections bind tighter than.
pub(super) const NEGATE: u8 = 12;

pub(super) fn infix(kind: Kind) -> Option<Infix> {
    use Associates::{Left, Not, Right};
    let (op, level, associates) = match kind {
        Kind::TOKEN_PIPE_LEFT | Kind::TOKEN_PIPE_RIGHT => (None, LOOSEST, Left),
        Kind::TOKEN_IMPLICATION => (Some(BinaryOp::Implies), 1, Right),
        Kind::TOKEN_OR_OR => (Some(BinaryOp::Or), 2, Left),
        Kind::TOKEN_AND_AND => (Some(BinaryOp::And), 3, Left),
        Kind::TOKEN_EQUAL => (Some(BinaryOp::Equal), 4, Not),
        Kind::TOKEN_NOT_EQUAL => (Some(BinaryOp::NotEqual), 4, Not),
        Kind::TOKEN_LESS => (Some(BinaryOp::Less), 5, Not),
        Kind::TOKEN_LESS_OR_EQ => (Some(BinaryOp::LessOrEqual), 5, Not),
        Kind::TOKEN_MORE => (Some(BinaryOp::More), 5, Not),
        Kind::TOKEN_MORE_OR_EQ => (Some(BinaryOp::MoreOrEqual), 5, Not),
        Kind::TOKEN_UPDATE => (Some(BinaryOp::Update), 6, Right),
        // 7 is `!`.
        Kind::TOKEN_ADD => (Some(BinaryOp::Add), 8, Left),
        Kind::TOKEN_SUB => (Some(BinaryOp::Sub), 8, Left),
        Kind::TOKEN_MUL => (Some(BinaryOp::Mul), 9, Left),
        Kind::TOKEN_DIV => (Some(BinaryOp::Div), 9, Left),
        Kind::TOKEN_CONCAT => (Some(BinaryOp::Concat), 10, Right),
        Kind::TOKEN_QUESTION => (None, 11, Not),
        _ => return None,
    };
    Some(Infix { op, level, associates })
}

/// Whether an operand, so an argument or a list element too, can begin so.
pub(super) fn starts_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TOKEN_IDENT
            | Kind::TOKEN_INTEGER
            | Kind::TOKEN_FLOAT
            | Kind::TOKEN_URI
            | Kind::TOKEN_STRING_START
            | Kind::TOKEN_PATH_ABS
            | Kind::TOKEN_PATH_HOME
            | Kind::TOKEN_PATH_REL
            | Kind::TOKEN_PATH_SEARCH
            | Kind::TOKEN_L_PAREN
            | Kind::TOKEN_L_BRACK
            | Kind::TOKEN_L_BRACE
            | Kind::TOKEN_REC
    )
}

/// Whether an attribute name can begin so.
pub(super) fn starts_attr(kind: Kind) -> bool {
    matches!(kind, Kind::TOKEN_IDENT | Kind::TOKEN_OR | Kind::TOKEN_STRING_START | Kind::TOKEN_INTERPOL_START)
}

/// What a message calls a token that is expected.
pub(super) fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::TOKEN_IDENT => "a name",
        Kind::TOKEN_ASSIGN => "'='",
        Kind::TOKEN_SEMICOLON => "';'",
        Kind::TOKEN_COLON => "':'",
        Kind::TOKEN_IN => "'in'",
        Kind::TOKEN_THEN => "'then'",
        Kind::TOKEN_ELSE => "'else'",
        Kind::TOKEN_L_BRACE => "'{'",
        Kind::TOKEN_R_BRACE | Kind::TOKEN_INTERPOL_END => "'}'",
        Kind::TOKEN_R_PAREN => "')'",
        Kind::TOKEN_STRING_END => "the end of the string",
        _ => "something else",
    }
}
