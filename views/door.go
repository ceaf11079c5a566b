package views

import "strconv"

// Login is the sign-in page.
type Login struct {
	Email   string
	Return  string // where to go afterwards; a path of ours
	Note    string // such as "You were signed out."
	Refusal Refusal
}

// Title implements Page.
func (p Login) Title() string { return "Sign in" }

// SetUp is the page behind a one-time link: the first administrator, an
// invited person, or somebody who locked himself out.
type SetUp struct {
	Purpose      string // setup, invite, reset
	Email        string
	Role         string // offered by an invitation
	Organisation string // that invites; or the name of the first one, as typed
	Founds       bool   // a first organisation is made and may be named
	HasPassword  bool   // an invited person confirms with his own password
	Action       string // the link itself
	Refusal      Refusal
}

// Title implements Page.
func (p SetUp) Title() string {
	switch p.Purpose {
	case "invite":
		return "Welcome to " + p.Organisation
	case "reset":
		return "Choose a new password"
	}
	return "Set up Inventiv"
}

func (p SetUp) button() string {
	switch p.Purpose {
	case "invite":
		return "Join " + p.Organisation
	case "reset":
		return "Save the new password"
	}
	return "Set up and sign in"
}

// Problem says what went wrong, why, and what to do.
type Problem struct {
	Status    int
	What      string // "This page does not exist."
	Why       string
	Fix       string
	RequestID string
	Home      bool // whether a link home helps
}

// Title implements Page.
func (p Problem) Title() string { return p.What }

func (p Problem) code() string { return strconv.Itoa(p.Status) }

// ProblemOf words a status for people when nothing better is known.
func ProblemOf(status int, requestID string) Problem {
	p := Problem{Status: status, RequestID: requestID, Home: true}
	if status < 500 {
		p.What = "This could not be done."
		p.Why = "The request is not one that this page answers."
		p.Fix = "Go back, load the page again and try once more."
	} else {
		p.What = "Something broke on our side."
		p.Why = "The request ended in an error that is ours, not yours. It was logged."
		p.Fix = "Try again. If it stays, give the request id below to whoever runs this platform."
	}
	switch status {
	case 401:
		p.What = "You are not signed in."
		p.Why = "This page needs to know who is asking, and the session has ended."
		p.Fix = "Sign in and open it again."
	case 403:
		p.What = "You are not allowed to do this."
		p.Why = "Your role in this organisation does not include it."
		p.Fix = "Ask an owner or an admin of the organisation."
	case 404:
		p.What = "There is nothing at this address."
		p.Why = "It was removed, it never existed, or it belongs to another organisation."
		p.Fix = "Check the address, or change the organisation in the menu."
	case 410:
		p.What = "This link has been used."
		p.Why = "One-time links work once, and only for a while."
		p.Fix = "Ask for a new one, or sign in if you have a password."
	case 429:
		p.What = "Too many attempts."
		p.Why = "To keep guessing slow, attempts are limited."
		p.Fix = "Wait a minute and try again."
	case 503:
		p.What = "A part of the platform is away."
		p.Why = "The database or another part does not answer at the moment."
		p.Fix = "Try again in a few seconds. Models that serve go on answering."
	}
	return p
}
