//go:build unix

package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// accessible is what a screen reader is told of an element.
type accessible struct {
	Ignored    bool
	Role, Name struct{ Value string }
	Properties []struct {
		Name  string
		Value struct{ Value any }
	}
}

func (a accessible) String() string { return fmt.Sprintf("%s %q", a.Role.Value, a.Name.Value) }

func (a accessible) property(name string) any {
	for _, p := range a.Properties {
		if p.Name == name {
			return p.Value.Value
		}
	}
	return nil
}

// accessibilityTree returns what the browser tells screen readers of the page, in the order in which they read it.
func (c *chromium) accessibilityTree() (list []accessible) {
	c.Helper()
	var tree struct{ Nodes []accessible }
	c.command("Accessibility.getFullAXTree", nil, &tree)
	for _, node := range tree.Nodes {
		if !node.Ignored {
			list = append(list, node)
		}
	}
	return list
}

// wantName are the roles that say nothing without a name.
var wantName = []string{
	"button", "link", "textbox", "searchbox", "combobox", "spinbutton", "checkbox", "navigation", "region", "article", "dialog",
	"group", "option",
}

// checkTree wants a name of every element that needs one, and looks for what must be there.
func (c *chromium) checkTree(what string, wanted ...string) {
	c.Helper()
	tree := c.accessibilityTree()
	var told []string
	for _, node := range tree {
		if slices.Contains(wantName, node.Role.Value) && strings.TrimSpace(node.Name.Value) == "" {
			c.Errorf("%s: a %s has no name", what, node.Role.Value)
		}
		told = append(told, node.String())
	}
	for _, w := range wanted {
		if !slices.Contains(told, w) {
			c.Errorf("%s: there is no %s in %s", what, w, strings.Join(told, ", "))
		}
	}
}

// TestPageAccessibilityTree looks at the page, its dialogs and tokens as screen readers do.
func TestPageAccessibilityTree(t *testing.T) {
	_, b := shownPage(t)
	b.set(map[string]string{"seed": "7", "max_tokens": "20"})
	b.send("Tell me of a fox")
	b.answered()
	b.checkTree("page", `navigation "Conversations"`, `main ""`, `region "Conversation"`, `searchbox "Search conversations"`, `combobox "Model"`,
		`article "You"`, `article "llama"`, `textbox "Message"`, `button "Send"`, `button "Delete Tell me of a fox"`, `link "Skip to the message field"`)
	for _, id := range []string{"announcements", "notice"} {
		want := map[string]string{"announcements": "polite", "notice": "assertive"}[id]
		if live := b.property("#"+id, "live"); live != want {
			t.Errorf("#%s: live %v, want %s", id, live, want)
		}
	}
	if busy := b.property("[data-role=assistant]", "busy"); busy != nil && busy != false {
		t.Error("an answer that has ended is busy")
	}

	b.pressButton("Tokens")
	b.until(`document.querySelectorAll(".tokens span").length > 5`)
	b.run(`document.querySelector(".tokens span").focus()`)
	b.checkTree("tokens", `group "Tokens; arrow keys go from one to the next"`)
	if described := b.run(`document.getElementById(document.activeElement.getAttribute("aria-describedby")).textContent.includes("From: the model itself")`); described != true {
		t.Error("a token in focus is not described")
	}

	b.click("#open-settings")
	b.checkTree("settings", `dialog "Settings of this conversation"`, `textbox "System prompt"`, `spinbutton "Temperature"`, `spinbutton "Seed (empty: drawn)"`, `button "Save"`)
	for _, node := range b.accessibilityTree() {
		if node.Role.Value == "navigation" {
			t.Error("what stands behind a dialog can be reached")
		}
	}
	b.press("Escape")
	if b.run(`document.activeElement === document.body`) != false {
		t.Error("after a dialog the focus is lost")
	}
	b.quiet()
}

// property returns a property that screen readers are told of an element.
func (c *chromium) property(selector, name string) any {
	c.Helper()
	var evaluated struct{ Result struct{ ObjectID string } }
	c.command("Runtime.evaluate", map[string]any{"expression": "document.querySelector(" + quoted(selector) + ")"}, &evaluated)
	var tree struct{ Nodes []accessible }
	c.command("Accessibility.getPartialAXTree", map[string]any{"objectId": evaluated.Result.ObjectID, "fetchRelatives": false}, &tree)
	if len(tree.Nodes) == 0 {
		c.Fatalf("%s is not in the accessibility tree", selector)
	}
	return tree.Nodes[0].property(name)
}

// focused names the element that has the focus, and says whether it can be seen that it has.
const focused = `(() => {
	const e = document.activeElement, style = getComputedStyle(e);
	return (e.id || e.className || e.textContent.trim()) + (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2 ? " without an outline" : "");
})()`

// TestPageKeyboard goes through the page with the Tab key, and through its menu on a phone.
func TestPageKeyboard(t *testing.T) {
	_, b := shownPage(t)
	b.importText(conversationOf("Hello", "Good day"))
	b.until(`document.querySelectorAll(".message").length === 2`)
	b.run(`document.querySelector(".skip").focus()`)
	var order []string
	for range 30 {
		b.press("Tab")
		name, _ := b.run(focused).(string)
		order = append(order, name)
		if name == "send" {
			break
		}
	}
	want := []string{"new", "search", "open", "×", "export", "import", "model", "open-settings", "messages", "Edit", "Copy", "Copy", "Another", "Reproduce", "curl", "Tokens", "prompt", "send"}
	if !slices.Equal(order, want) {
		t.Errorf("the focus goes to %q, want %q", order, want)
	}
	b.run(`document.querySelector(".skip").focus()`)
	b.press("Enter")
	b.until(`document.activeElement.id === "prompt"`)

	b.screen(360, 740, false)
	b.run(`document.getElementById("menu").focus()`)
	b.press("Enter")
	b.until(`document.activeElement.id === "new"`)
	b.press("Escape")
	b.until(`document.activeElement.id === "menu" && !document.getElementById("new").checkVisibility()`)
	b.quiet()
}

// TestPageSpeaks follows what screen readers are told while an answer comes a character at a time: whole sentences, in pieces of
// some length, nothing twice and nothing left out.
func TestPageSpeaks(t *testing.T) {
	b := startChromium(t)
	d := dictate(t, b)
	text := strings.Repeat("The fox went to the old hen. She said: \"Good day, fox!\" Then they sat down by the fire\n\n- and ate\n", 12) + "at last"
	var stream strings.Builder
	for i := range len(text) {
		stream.WriteString("data: " + string(encodeJSON(map[string]any{"choices": []any{map[string]any{"delta": map[string]any{"content": text[i : i+1]}}}})) + "\n\n")
	}
	d.stream = stream.String() + "data: [DONE]\n\n"
	b.run(`window.spoken = []; new MutationObserver((changes) => {
		for (const { addedNodes } of changes) for (const node of addedNodes) spoken.push(node.textContent);
	}).observe(document.getElementById("announcements"), { childList: true })`)
	b.send("Hello")
	b.answered()
	b.until(`spoken.join("").endsWith("at last")`)
	spoken, _ := b.run(`spoken`).([]any)
	all := ""
	for i, part := range spoken {
		piece := fmt.Sprint(part)
		all += piece
		if i < len(spoken)-1 && (len(piece) < 150 || !strings.ContainsAny(piece[len(piece)-1:], " \n")) {
			t.Errorf("said: %q", piece)
		}
	}
	if all != text {
		t.Errorf("said %q, want %q", spoken, text)
	}
	b.quiet()
}
