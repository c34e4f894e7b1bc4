package sluice.mqadmin;

import java.util.LinkedHashMap;
import java.util.Map;

/** The secret file, users and policies, on a broker that wants to know who asks. */
final class Access {
    private final Stage stage;
    private final Tool tool;

    Access(Stage stage) {
        this.stage = stage;
        this.tool = stage.tool;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("secret-file", this::secretFile);
        checks.put("user-life", this::users);
        checks.put("acl-life", this::acls);
        checks.put("acl-decides", this::decides);
        checks.put("copies", this::copies);
        checks.put("user-refusals", this::refusals);
        return checks;
    }

    private void secretFile() throws Exception {
        Tool tool = new Tool();
        String list = "topicStatus -t " + stage.topic();
        tool.run(list).has("#Broker Name");
        tool.sign(System.getenv("ACL_USER"), "not the secret");
        tool.run(list).refused(16);
        tool.sign("nobody", "whatever");
        tool.run(list).refused(16);
        tool.sign(null, null);
        tool.run(list).refused(16);
    }

    private void users() throws Exception {
        String at = " -b " + stage.address + " ";
        String alice = stage.name("alice");
        tool.run("createUser" + at + "-u " + alice + " -p first-secret -t Normal").has("create user to " + stage.address + " success");
        tool.run("getUser" + at + "-u " + alice).has("#UserName", "^" + alice + " +null +Normal +enable");
        tool.run("listUser" + at + "-f " + alice).has("^" + alice + " +null +Normal +enable").hasNot("first-secret");
        tool.run("listUser -c " + stage.cluster).has("^" + System.getenv("ACL_USER") + " ", "get user from " + stage.address + " success");
        tool.run("createAcl" + at + "-s User:" + alice + " -r Topic:*,Cluster:" + stage.cluster + " -a All -d Allow").has("success");

        signs(alice, "first-secret", true);
        tool.run("updateUser" + at + "-u " + alice + " -p second-secret").has("update user to " + stage.address + " success");
        signs(alice, "first-secret", false);
        signs(alice, "second-secret", true);
        tool.run("updateUser" + at + "-u " + alice + " -s disable").has("success");
        signs(alice, "second-secret", false);
        tool.run("getUser" + at + "-u " + alice).has("^" + alice + " +null +Normal +disable");

        tool.run("deleteUser" + at + "-u " + alice).has("delete user to " + stage.address + " success");
        tool.run("getUser" + at + "-u " + alice).hasNot(alice);
        tool.run("getAcl" + at + "-s User:" + alice).refused(16, "there is no User:" + alice);
    }

    private void signs(String user, String secret, boolean accepted) throws Exception {
        Tool theirs = new Tool();
        theirs.sign(user, secret);
        Tool.Printed list = theirs.run("brokerConsumeStats -b " + stage.address);
        if (accepted) {
            list.has("Diff Total");
        } else {
            list.refused(16);
        }
    }

    private void acls() {
        String at = " -b " + stage.address + " ";
        String bob = stage.name("bob");
        tool.run("createUser" + at + "-u " + bob + " -p bobs-secret").has("success");
        String about = at + "-s User:" + bob + " ";
        tool.run("createAcl" + about + "-r Topic:orders*,Group:* -a Pub,Sub -i 10.0.0.0/8,127.0.0.1 -d Allow").has("create acl to " + stage.address + " success");
        String row = "^User:" + bob + " +Custom +";
        tool.run("getAcl" + about)
                .has(row + "Topic:orders\\* +\\[Pub, Sub\\] +\\[10\\.0\\.0\\.0/8, 127\\.0\\.0\\.1\\S*\\] +Allow", row + "Group:\\* ");
        tool.run("updateAcl" + about + "-r Topic:orders* -a Pub -d Deny").has("update acl to " + stage.address + " success");
        tool.run("getAcl" + about).has(row + "Topic:orders\\* +\\[Pub\\] +null +Deny").hasNot("Topic:orders\\* .*Allow");
        tool.run("listAcl" + at + "-s " + bob + " -r Group").has(row + "Group:\\* ").hasNot("Topic:orders");
        tool.run("deleteAcl" + about + "-r Group:*").has("delete acl to " + stage.address + " success");
        tool.run("getAcl" + about).hasNot("Group:");
        tool.run("deleteAcl" + about).has("success");
        tool.run("getAcl" + about).hasNot("Custom");
    }

    private void decides() throws Exception {
        String at = " -b " + stage.address + " ";
        String carol = stage.name("carol");
        String topic = stage.topic();
        tool.run("createUser" + at + "-u " + carol + " -p carols-secret").has("success");
        Tool theirs = new Tool();
        theirs.sign(carol, "carols-secret");
        theirs.run("topicStatus -t " + topic)
                .refused(16, "User:" + carol + " has no permission to \\w+ Topic:" + topic + " from ");
        tool.run("createAcl" + at + "-s User:" + carol + " -r Topic:" + topic + " -a Pub,Get -d Allow").has("success");
        theirs.run("sendMessage -t " + topic + " -p hello").has("SEND_OK");
        theirs.run("createUser" + at + "-u mallory -p mallorys-secret")
                .refused(16, "User:" + carol + " has no permission to \\w+ Cluster from ");
    }

    private void copies() {
        String dave = stage.name("dave");
        String at = " -b " + stage.address + " ";
        tool.run("createUser" + at + "-u " + dave + " -p daves-secret").has("success");
        tool.run("createAcl" + at + "-s User:" + dave + " -r Topic:* -a Sub -d Allow").has("success");
        String here = "-f " + stage.address + " -t " + stage.address;
        tool.run("copyUser " + here + " -u " + dave).has("copy user of " + dave + " from " + stage.address);
        tool.run("copyAcl " + here + " -s User:" + dave).has("copy acl of User:" + dave + " from " + stage.address);
        tool.run("getAcl" + at + "-s User:" + dave).has("Topic:\\* +\\[Sub\\] +null +Allow");
    }

    private void refusals() {
        String at = " -b " + stage.address + " ";
        String root = System.getenv("ACL_USER");
        tool.run("createUser" + at + "-u " + root + " -p another-secret").refused(16, "exists already");
        tool.run("updateUser" + at + "-u " + stage.name("nobody") + " -p some-secret").refused(16, "there is no User:");
        tool.run("createAcl" + at + "-s User:" + stage.name("nobody") + " -r Topic:* -a Sub -d Allow").refused(16, "there is no User:");
        tool.run("createAcl" + at + "-s User:" + root + " -r Namespace:x -a Sub -d Allow").refused(29, "Namespace:x");
        tool.run("deleteAcl" + at + "-s User:" + root).refused(16, "auth\\.file");
    }
}
