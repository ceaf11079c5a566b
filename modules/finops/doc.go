// Package finops says what things cost, exactly. It owns the schema finops.
//
// # Owns
//
// One charge per billed resource: who, what, the price that was frozen when it
// was made, and the provider's own interval, created to verified gone. Every
// figure is derived from charges when it is asked for, so a restart, a gap or a
// late correction cannot corrupt one.
//
// # Exactness
//
// Amounts are nano-euros. The amount of a charge up to an instant is
// price × elapsed / hour, rounded half up once; a part of it, a day for
// example, is the difference of two such amounts. So the parts always add up to
// the whole, to the nano-euro.
//
// # What a crash leaves behind
//
// The meter reads what changed since its cursor, with an overlap for late
// commits, and upserts. Reading twice changes nothing, an older reading never
// overwrites a newer one, and each process begins by reading everything.
//
// # How to look at it
//
// finops.charges; the loop "meter" on the loops page.
package finops
