package engine

import (
	"maps"
	"slices"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
)

// prefixes keeps the caches of texts that have been run, for others that begin alike: a radix tree over tokens for each key, so
// that the time of one client's requests tells nothing of another's prompts. It belongs to the scheduler.
//
// Each node has a session that holds all tokens from the root to it. Sessions of a path share their pages, so a node costs
// what its own tokens take.
type prefixes struct {
	model *runtime.Model
	limit int64 // bytes; below 0: nothing is kept
	trees map[string]*prefix
	clock int // of uses
	PrefixStatistics
}

// prefix is a node: tokens that follow those of its parent.
type prefix struct {
	parent   *prefix // nil for the root of a tree
	tokens   []int32 // from the parent's end to the node's
	session  *runtime.Session
	children map[int32]*prefix // by their first token
	used     int               // when it was last
}

// PrefixStatistics counts what the prefix cache has done since the engine began, and tells what it holds.
type PrefixStatistics struct {
	Lookups int   // of texts that began
	Hits    int   // of these, the ones that found something
	Tokens  int   // that were looked up
	Found   int   // of these, the ones that did not have to be run
	Nodes   int   // beginnings that are held
	Bytes   int64 // that they hold in pages, those in use by running texts too
	Evicted int   // nodes
}

func newPrefixes(m *runtime.Model, limit int64) prefixes {
	return prefixes{model: m, limit: limit, trees: map[string]*prefix{}}
}

// depth is the number of tokens up to the end of the node.
func (n *prefix) depth() int {
	if n.session == nil {
		return 0
	}
	return n.session.Len()
}

// find walks from the root along tokens. It returns the last node that it enters and how many of that node's own tokens
// agree.
func (n *prefix) find(tokens []int32) (end *prefix, agreed int) {
	for {
		agreed = generation.CommonPrefix(n.tokens, tokens)
		tokens = tokens[agreed:]
		if agreed < len(n.tokens) || len(tokens) == 0 {
			return n, agreed
		}
		child := n.children[tokens[0]]
		if child == nil {
			return n, agreed
		}
		n = child
	}
}

// touch marks a node and those above it as used now.
func (p *prefixes) touch(n *prefix) {
	for p.clock++; n != nil; n = n.parent {
		n.used = p.clock
	}
}

// start returns a session that holds as many of the tokens as are known of the key's texts, nil if that is none.
func (p *prefixes) start(key string, tokens []int32) *runtime.Session {
	root := p.trees[key]
	if root == nil {
		return nil
	}
	n, agreed := root.find(tokens)
	known := n.depth() - len(n.tokens) + agreed
	if known == 0 {
		return nil
	}
	session, err := n.session.Fork()
	if err != nil { // the model is closed: running the text will say so
		return nil
	}
	session.Truncate(known)
	p.touch(n)
	return session
}

// count notes that a text of so many tokens has begun with some of them known.
func (p *prefixes) count(tokens, known int) {
	if p.limit < 0 {
		return
	}
	p.Lookups++
	p.Tokens += tokens
	p.Found += known
	if known > 0 {
		p.Hits++
	}
}

// keep takes in what a session holds.
func (p *prefixes) keep(key string, session *runtime.Session) {
	if p.limit < 0 || session.Len() == 0 {
		return
	}
	root := p.trees[key]
	if root == nil {
		root = &prefix{children: map[int32]*prefix{}}
	}
	n, agreed := root.find(session.Tokens())
	known := n.depth() - len(n.tokens) + agreed
	if known == session.Len() { // all of it is there
		p.touch(n)
		return
	}
	if agreed < len(n.tokens) {
		if n = p.split(n, agreed); n == nil {
			return
		}
	}
	if leaf := p.add(n, session); leaf != nil {
		p.trees[key] = root
		p.touch(leaf)
	}
	for p.Bytes > p.limit && p.evict() {
	}
}

// add makes a node below another, of the rest of what a session holds.
func (p *prefixes) add(parent *prefix, session *runtime.Session) *prefix {
	fork, err := session.Fork()
	if err != nil { // the model is closed
		return nil
	}
	tokens := fork.Tokens()[parent.depth():]
	n := &prefix{parent: parent, tokens: slices.Clone(tokens), session: fork, children: map[int32]*prefix{}, used: p.clock}
	parent.children[tokens[0]] = n
	p.Nodes++
	p.Bytes += p.bytes(n)
	return n
}

// split puts a node where the first of a node's own tokens end, and returns it.
func (p *prefixes) split(n *prefix, agreed int) *prefix {
	fork, err := n.session.Fork()
	if err != nil { // the model is closed
		return nil
	}
	fork.Truncate(n.depth() - len(n.tokens) + agreed)
	p.Bytes -= p.bytes(n)
	upper := &prefix{parent: n.parent, tokens: n.tokens[:agreed:agreed], session: fork, children: map[int32]*prefix{n.tokens[agreed]: n}, used: n.used}
	n.parent.children[n.tokens[0]] = upper
	n.parent, n.tokens = upper, n.tokens[agreed:]
	p.Nodes++
	p.Bytes += p.bytes(upper) + p.bytes(n)
	return upper
}

// bytes is what the pages take that a node holds and its parent does not. A page that both hold a part of counts for both:
// whoever wrote behind the parent's end has a copy.
func (p *prefixes) bytes(n *prefix) int64 {
	page := p.model.KVPage()
	pages := (n.depth()+page-1)/page - (n.depth()-len(n.tokens))/page
	return p.model.KVBytes(pages * page)
}

// evict forgets the node that was used least recently of those that nothing follows, and reports whether there was one.
func (p *prefixes) evict() bool {
	var oldest *prefix
	var key string
	for k, root := range p.trees {
		for n := range root.leaves() {
			if oldest == nil || n.used < oldest.used {
				oldest, key = n, k
			}
		}
	}
	if oldest == nil {
		return false
	}
	p.Nodes--
	p.Bytes -= p.bytes(oldest)
	p.Evicted++
	oldest.session.Close()
	delete(oldest.parent.children, oldest.tokens[0])
	if parent := oldest.parent; parent.parent == nil && len(parent.children) == 0 {
		delete(p.trees, key)
	}
	return true
}

// leaves yields the nodes that nothing follows.
func (n *prefix) leaves() func(yield func(*prefix) bool) {
	return func(yield func(*prefix) bool) { n.eachLeaf(yield) }
}

func (n *prefix) eachLeaf(yield func(*prefix) bool) bool {
	if len(n.children) == 0 {
		return n.parent == nil || yield(n)
	}
	for child := range maps.Values(n.children) {
		if !child.eachLeaf(yield) {
			return false
		}
	}
	return true
}

// clear forgets everything.
func (p *prefixes) clear() {
	for p.evict() {
	}
}
