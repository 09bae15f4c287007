// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

// The contracts that rehearsals and tests deploy on a local chain. Each is one way in which value reaches an
// address, or seems to. None of them is meant for a chain where anything has a price: everybody may mint.

/// An ordinary ERC-20 with as many decimals as asked for.
contract PlainToken {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) internal virtual {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

/// Keeps one per cent of each transfer, and logs the whole amount all the same.
contract FeeToken is PlainToken {
    constructor() PlainToken("Fee on transfer", "FEE", 6) {}

    function _move(address from, address to, uint256 value) internal override {
        uint256 kept = value / 100;
        balanceOf[from] -= value;
        balanceOf[to] += value - kept;
        totalSupply -= kept;
        emit Transfer(from, to, value);
    }
}

/// Says "false" instead of reverting, moves nothing and logs nothing.
contract FalseToken {
    uint8 public constant decimals = 6;

    function balanceOf(address) external pure returns (uint256) {
        return 1_000_000_000_000;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}

/// Logs transfers that never happened, in the ERC-20 form (3 topics) and in the ERC-721 form (4 topics).
contract LyingToken {
    uint8 public constant decimals = 6;

    function claim(address from, address to, uint256 value) external {
        bytes32 topic = keccak256("Transfer(address,address,uint256)");
        assembly {
            mstore(0, value)
            log3(0, 32, topic, from, to)
        }
    }

    function claimCollectible(address from, address to, uint256 id) external {
        bytes32 topic = keccak256("Transfer(address,address,uint256)");
        assembly {
            log4(0, 0, topic, from, to, id)
        }
    }
}

interface Transferable {
    function transfer(address to, uint256 value) external returns (bool);
}

/// Passes on what it is sent, by internal calls.
contract Forwarder {
    receive() external payable {}

    function forward(address payable to) external payable {
        _send(to, msg.value);
    }

    /// The same amount to each, all in one transaction.
    function spread(address payable[] calldata to) external payable {
        uint256 each = msg.value / to.length;
        for (uint256 i = 0; i < to.length; i++) _send(to[i], each);
    }

    /// The same amount of a token that this contract holds to each, all in one transaction.
    function spreadToken(address token, address[] calldata to, uint256 each) external {
        for (uint256 i = 0; i < to.length; i++) require(Transferable(token).transfer(to[i], each), "refused");
    }

    /// Pays and then takes it all back: the transaction succeeds, the payment inside it never happened.
    function forwardAndUndo(address payable to) external payable {
        try this.forwardAndRevert{value: msg.value}(to) {} catch {}
    }

    function forwardAndRevert(address payable to) external payable {
        _send(to, msg.value);
        revert("changed my mind");
    }

    function _send(address payable to, uint256 value) private {
        (bool ok, ) = to.call{value: value}("");
        require(ok, "recipient refused");
    }
}

/// Exists for the length of its own creation and leaves its value behind.
contract Bequest {
    constructor(address payable heir) payable {
        selfdestruct(heir);
    }
}

/// Fails whatever it is asked.
contract Refuser {
    receive() external payable {
        revert("no");
    }

    fallback() external payable {
        revert("no");
    }
}
