// A seccomp agent: it listens on the socket that a profile names, takes the descriptors that runtimes hand over, prints
// what they say of the container, and answers every call that it is asked about with one errno.
//
// usage: seccomp-agent SOCKET ERRNO
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"strconv"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// As much as a runtime may send: annotations of a pod are a part of it.
const longestState = 1 << 20

func main() {
	socket := os.Args[1]
	errno, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// One that was killed leaves its socket behind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Fatal(err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.AcceptUnix()
		if err != nil {
			log.Fatal(err)
		}
		state, descriptor, err := receive(connection)
		if err != nil {
			// A runtime that failed after it had connected.
			log.Print(err)
			continue
		}
		fmt.Println(state)
		go answer(descriptor, int32(errno))
	}
}

// One message with the container's state and one descriptor, as the runtime specification has it.
func receive(connection *net.UnixConn) (string, int, error) {
	defer connection.Close()
	state, rights := make([]byte, longestState), make([]byte, unix.CmsgSpace(4))
	length, rightsLength, _, _, err := connection.ReadMsgUnix(state, rights)
	if err != nil {
		return "", 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLength])
	if err != nil {
		return "", 0, err
	}
	if len(messages) != 1 {
		return "", 0, fmt.Errorf("%d control messages, expected one", len(messages))
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return "", 0, err
	}
	if len(descriptors) != 1 {
		return "", 0, fmt.Errorf("%d descriptors, expected one", len(descriptors))
	}
	return string(state[:length]), descriptors[0], nil
}

// Until the last process under the filter is gone.
func answer(descriptor int, errno int32) {
	defer unix.Close(descriptor)
	listener := libseccomp.ScmpFd(descriptor)
	for {
		polled := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		if polled[0].Revents&unix.POLLIN == 0 {
			return
		}
		request, err := libseccomp.NotifReceive(listener)
		if err != nil {
			// Who asked was killed meanwhile.
			continue
		}
		response := &libseccomp.ScmpNotifResp{ID: request.ID, Error: errno}
		if err := libseccomp.NotifRespond(listener, response); err != nil {
			log.Printf("answer: %v", err)
		}
	}
}
