package chat

// Calls finds the call that a piece of a stream belongs to. Most engines send
// one call after the other, some mix them, and some give all of them the same
// number. Its zero value is ready.
type Calls struct{ last map[int]*Begun } // by the engine's number

// Begun is a call that a stream has begun.
type Begun struct {
	Place int // the caller's: where in the answer it stands

	id        string // as the engine says
	arguments object
	replaced  bool // the engine has begun another under its number
}

// Of takes up a piece and returns its call, and whether the call begins with
// it; nil if no such call was begun.
func (c *Calls) Of(piece *ToolCall) (call *Begun, begins bool) {
	call = c.last[piece.Index]
	if piece.Function.Name != "" && (call == nil || call.isBefore(piece)) {
		if call != nil {
			call.replaced = true
		}
		if c.last == nil {
			c.last = map[int]*Begun{}
		}
		call, begins = &Begun{id: piece.ID}, true
		c.last[piece.Index] = call
	}
	if call != nil {
		call.arguments.read(piece.Function.Arguments)
	}
	return call, begins
}

// Len returns how many numbers there are.
func (c *Calls) Len() int { return len(c.last) }

// isBefore reports whether a piece of the call's number, with a name, is
// another's. Some engines repeat name and id in each piece, and some have no ids.
func (b *Begun) isBefore(piece *ToolCall) bool {
	if piece.ID != "" {
		return piece.ID != b.id
	}
	return b.arguments.whole && !Blank(piece.Function.Arguments)
}

// Whole reports whether the arguments so far are a whole object.
func (b *Begun) Whole() bool { return b.arguments.whole }

// Bare reports whether nothing has come of the arguments yet. Engines write one
// thing after the other, so a call that is bare when something behind it goes on
// has none: mixed pieces are of calls that have begun to have some.
func (b *Begun) Bare() bool { return !b.arguments.begun }

// Over reports whether nothing more of the call is to be expected. Engines do not
// say so; a bare call may be over and not look so.
func (b *Begun) Over() bool { return b.replaced || b.arguments.whole }

// object follows a text to the end of the JSON object that it is.
type object struct {
	depth           int
	quoted, escaped bool
	begun, whole    bool
}

func (o *object) read(text string) {
	o.begun = o.begun || !Blank(text)
	for i := range len(text) { // bytes: all that counts is ASCII
		switch c := text[i]; {
		case o.escaped:
			o.escaped = false
		case o.quoted && c == '\\':
			o.escaped = true
		case c == '"':
			o.quoted = !o.quoted
		case o.quoted:
		case c == '{' || c == '[':
			o.depth++
			o.whole = false
		case c == '}' || c == ']':
			o.depth--
			o.whole = o.depth == 0
		}
	}
}
