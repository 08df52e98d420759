// A bare broadcast server on github.com/gorilla/websocket. The protocol stands in ../README.md.
//
// Usage: gorilla --listen HOST:PORT --certificate FILE --key FILE
// Prints `listening HOST:PORT` when it takes connections. Stores nothing. Ends at SIGTERM.
package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	messageMax = 64 << 10
	// What may wait for one client. Who reads so slowly that it is full is cut off.
	waitingMax = 256
	writeWait  = 10 * time.Second
)

var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
	// Idle connections hold no buffer to write.
	WriteBufferPool: &sync.Pool{},
	// It is no browser that connects.
	CheckOrigin: func(*http.Request) bool { return true },
}

type client struct {
	conn    *websocket.Conn
	waiting chan *websocket.PreparedMessage
	rooms   map[string]*room // only its reader touches it
}

type room struct {
	mutex   sync.RWMutex
	members map[*client]struct{}
}

var (
	roomsMutex sync.Mutex
	rooms      = map[string]*room{}
)

func enter(name string, who *client) *room {
	roomsMutex.Lock()
	defer roomsMutex.Unlock()
	one := rooms[name]
	if one == nil {
		one = &room{members: map[*client]struct{}{}}
		rooms[name] = one
	}
	one.mutex.Lock()
	one.members[who] = struct{}{}
	one.mutex.Unlock()
	return one
}

func leave(name string, who *client) {
	roomsMutex.Lock()
	defer roomsMutex.Unlock()
	one := rooms[name]
	one.mutex.Lock()
	delete(one.members, who)
	empty := len(one.members) == 0
	one.mutex.Unlock()
	if empty {
		delete(rooms, name)
	}
}

// put never waits: a full channel means a reader that is too slow, and its connection ends.
func (c *client) put(message *websocket.PreparedMessage) {
	select {
	case c.waiting <- message:
	default:
		c.conn.Close()
	}
}

func (c *client) say(text string) {
	c.put(prepared([]byte(text)))
}

func prepared(text []byte) *websocket.PreparedMessage {
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		log.Fatal(err) // only for a wrong message type
	}
	return message
}

func (c *client) write(gone <-chan struct{}) {
	defer c.conn.Close()
	for {
		select {
		case message := <-c.waiting:
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if c.conn.WritePreparedMessage(message) != nil {
				return
			}
		case <-gone:
			return
		}
	}
}

func (c *client) read() {
	c.conn.SetReadLimit(messageMax)
	for {
		_, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		verb, rest, _ := bytes.Cut(data, []byte{' '})
		switch string(verb) {
		case "send":
			c.pass(rest)
		case "join":
			for _, name := range strings.Split(string(rest), " ") {
				c.rooms[name] = enter(name, c)
			}
			c.say(fmt.Sprintf("joined %d", len(c.rooms)))
		default:
			c.say("error - unknown verb")
		}
	}
}

var head = []byte("message ")

// pass takes ID ROOM TEXT.
func (c *client) pass(rest []byte) {
	id, body, _ := bytes.Cut(rest, []byte{' '})
	name, _, whole := bytes.Cut(body, []byte{' '})
	if !whole {
		c.say("error - send ID ROOM TEXT")
		return
	}
	one := c.rooms[string(name)]
	if one == nil {
		c.say(fmt.Sprintf("error %s not in this room", id))
		return
	}
	// One frame for all.
	message := prepared(append(append(make([]byte, 0, len(head)+len(body)), head...), body...))
	one.mutex.RLock()
	for other := range one.members {
		if other != c {
			other.put(message)
		}
	}
	one.mutex.RUnlock()
	c.say("ack " + string(id))
}

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	c := &client{conn: conn, waiting: make(chan *websocket.PreparedMessage, waitingMax), rooms: map[string]*room{}}
	gone := make(chan struct{})
	go c.write(gone)
	// The handler returns, so that what HTTP needed of this connection can be freed.
	go func() {
		c.read()
		for name := range c.rooms {
			leave(name, c)
		}
		close(gone)
	}()
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen")
	certificate := flag.String("certificate", "", "PEM file")
	key := flag.String("key", "", "PEM file")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "listening %s\n", listener.Addr())
	server := http.Server{
		Handler:           http.HandlerFunc(serve),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	// HTTP/2 is not offered: this library upgrades HTTP/1.1.
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	if err := server.Serve(tls.NewListener(listener, config)); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
