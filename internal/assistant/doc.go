// Package assistant offers a server of ours to assistants, as tools of the Model Context Protocol.
//
// It promises that reading tools change nothing; that the ones that change something are there only
// where a person has asked for them, and are marked as what they are; that a replay or a discard needs
// something that selects, and is a dry run unless it says that it is not; and that an answer has a
// bounded size, and says what it leaves out. Each tool is a request to the admin API, with the token
// that this process was given: its scope, its checks and its trail stand behind every tool.
//
// What events hold was sent by clients. The tools say so, because an assistant may take a text for an
// instruction; what it does then is bounded by the tools that it was given.
package assistant
