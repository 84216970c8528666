//go:build unix

package serve

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chromium is a tab of a real browser, told what to do over its DevTools protocol: messages of JSON, each ended by a NUL, on the
// file descriptors 3 and 4 of the browser.
type chromium struct {
	testing.TB
	commands *os.File
	session  string // of the tab

	mutex    sync.Mutex
	last     int // id of a command
	waiting  map[int]chan devtoolsMessage
	problems []string // what the console and the policy complained about
}

type devtoolsMessage struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startChromium starts a browser with an empty profile. It skips the test where there is none.
func startChromium(t testing.TB) *chromium {
	t.Helper()
	path := ""
	if os.Getenv("TTI_BROWSER") == "" {
		t.Skip("TTI_BROWSER is not set: a browser is slow where others work, and make page asks for it")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed")
	}
	for range launches {
		if c := launch(t, path); c.openTab() {
			return c
		}
	}
	t.Fatalf("%s does not answer", path)
	return nil
}

const (
	// launches is how often a browser is started: now and then one hangs before it answers anything.
	launches = 5
	// launchTime is how long a browser may take to open its first page.
	launchTime = 20 * time.Second
)

// launch starts a browser, which ends with the test.
func launch(t testing.TB, path string) *chromium {
	t.Helper()
	theirs, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	events, theirEvents, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "tti-chromium")
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{
		"--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + profile,
	}
	if os.Geteuid() == 0 {
		arguments = append(arguments, "--no-sandbox") // it refuses to run as root with one
	}
	browser := exec.Command(path, arguments...)
	browser.ExtraFiles = []*os.File{theirs, theirEvents}
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that it can be ended with all that it starts
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirEvents.Close()
	c := &chromium{TB: t, commands: commands, waiting: map[int]chan devtoolsMessage{}}
	ended := make(chan struct{})
	go func() {
		c.read(events)
		close(ended)
	}()
	t.Cleanup(func() {
		commands.Close() // which ends it
		select {
		case <-ended:
		case <-time.After(launchTime):
		}
		syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) // what is left of it
		browser.Wait()
		os.RemoveAll(profile)
	})
	return c
}

// openTab opens a tab and makes it the one that is told what to do. It reports whether the browser answers.
func (c *chromium) openTab() bool {
	c.Helper()
	c.session = ""
	var target struct{ TargetID string }
	if !c.try("Target.createTarget", map[string]any{"url": "about:blank"}, &target, launchTime) {
		return false
	}
	var attached struct{ SessionID string }
	c.command("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		c.command(domain+".enable", nil, nil)
	}
	return true
}

// read hands answers to those who wait for them, until the browser has ended.
func (c *chromium) read(events *os.File) {
	defer events.Close()
	messages := bufio.NewReader(events)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			c.mutex.Lock()
			defer c.mutex.Unlock()
			for _, answer := range c.waiting {
				close(answer)
			}
			c.waiting = nil
			return
		}
		var m devtoolsMessage
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			c.take(m)
		}
	}
}

func (c *chromium) take(m devtoolsMessage) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	switch m.Method {
	case "":
		if answer := c.waiting[m.ID]; answer != nil {
			delete(c.waiting, m.ID)
			answer <- m
		}
	case "Runtime.exceptionThrown", "Log.entryAdded":
		c.problems = append(c.problems, string(m.Params))
	case "Runtime.consoleAPICalled":
		if !strings.Contains(string(m.Params), `"type":"log"`) {
			c.problems = append(c.problems, string(m.Params))
		}
	}
}

// command sends a command to the tab and stores its result, if that is wanted.
func (c *chromium) command(method string, params map[string]any, result any) {
	c.Helper()
	if !c.try(method, params, result, patience) {
		c.Fatalf("%s: no answer", method)
	}
}

// try is command that reports whether there is an answer in time.
func (c *chromium) try(method string, params map[string]any, result any, most time.Duration) bool {
	c.Helper()
	answer := make(chan devtoolsMessage, 1)
	c.mutex.Lock()
	c.last++
	message := map[string]any{"id": c.last, "method": method}
	if c.waiting == nil {
		c.mutex.Unlock()
		c.Fatalf("%s: the browser has ended", method)
	}
	c.waiting[c.last] = answer
	c.mutex.Unlock()
	if params != nil {
		message["params"] = params
	}
	if c.session != "" {
		message["sessionId"] = c.session
	}
	if _, err := c.commands.Write(append(encodeJSON(message), 0)); err != nil {
		c.Fatalf("%s: %v", method, err)
	}
	select {
	case m, more := <-answer:
		if !more || m.Error != nil {
			c.Fatalf("%s %v: %+v", method, params, m.Error)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				c.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(most):
		return false
	}
	return true
}

// run runs JavaScript in the page, waits for what it promises, and returns that.
func (c *chromium) run(script string) any {
	c.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	c.command("Runtime.evaluate", map[string]any{
		"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &r)
	if r.ExceptionDetails != nil {
		c.Fatalf("%s: %s", script, r.ExceptionDetails)
	}
	return r.Result.Value
}

// until waits until an expression is true.
func (c *chromium) until(condition string) {
	c.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c.run(condition) == true {
			return
		}
		if time.Now().After(end) {
			c.Fatalf("never came true: %s\nthe page says: %v\nproblems: %q", condition, c.run("document.body.innerText"), c.problems)
		}
	}
}

// open goes to an address and waits until the page there is ready.
func (c *chromium) open(address string) {
	c.Helper()
	c.command("Page.navigate", map[string]any{"url": address}, nil)
	c.until(`document.body?.dataset.ready === "true"`)
}

// reload loads the page again.
func (c *chromium) reload() {
	c.Helper()
	c.run(`document.body.dataset.ready = ""`)
	c.command("Page.reload", nil, nil)
	c.until(`document.body?.dataset.ready === "true"`)
}

// press presses a key as a keyboard does.
func (c *chromium) press(key string) {
	c.Helper()
	codes := map[string]int{"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39}
	params := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
	if key == "Enter" {
		params["text"] = "\r"
	}
	c.command("Input.dispatchKeyEvent", params, nil)
	c.command("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}, nil)
}

// write writes a text where the focus is.
func (c *chromium) write(text string) {
	c.Helper()
	c.command("Input.insertText", map[string]any{"text": text}, nil)
}

// screen sets how large the screen is, and whether it is dark.
func (c *chromium) screen(width, height int, dark bool) {
	c.Helper()
	c.command("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	c.command("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	c.run(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`) // the page has heard of it then
}

// screenshot keeps a picture of the page in the folder that TTI_SCREENSHOTS names, for people to look at.
func (c *chromium) screenshot(name string) {
	c.Helper()
	folder := os.Getenv("TTI_SCREENSHOTS")
	if folder == "" {
		return
	}
	var picture struct{ Data string }
	c.command("Page.captureScreenshot", map[string]any{"format": "png"}, &picture)
	png, err := base64.StdEncoding.DecodeString(picture.Data)
	if err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		c.Fatal(err)
	}
}

// quiet fails the test if the page's console has said anything, apart from texts that hold one of those that are expected.
func (c *chromium) quiet(expected ...string) {
	c.Helper()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, problem := range c.problems {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(problem, e)
		}
		if !known {
			c.Errorf("the console says %s", problem)
		}
	}
}

// quoted is a text as JavaScript.
func quoted(text string) string { return string(encodeJSON(text)) }
