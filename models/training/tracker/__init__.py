"""The face tracker: a detector and a landmark network, trained on the studio's heads, exported as models/tracker."""
